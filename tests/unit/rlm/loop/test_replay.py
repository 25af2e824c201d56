"""Answers that move with what tools returned, and answers that only name a tool."""

import pytest

from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import in_code
from tests.support.recursive_runs import Asked

ROWS = "records('doc-2')"
LINES = f"lines = read({ROWS})\n"
YEARS = LINES + "years = [int(line.split(' in ')[1][:4]) for line in lines]\n"
ENDS = LINES + "ends = [line.split(', ')[1] for line in lines]\n"


@pytest.mark.parametrize(
    "code",
    [
        "n = count('lost')['total']\nsubmit(n, computed=True)",
        "n = count('lost')['total']\nsubmit(f'{n} ships were lost.', computed=True)",
        "submit(count('lost')['total'] + count('sold')['total'], computed=True)",
        "a, b = count('lost'), count('Ship')\nsubmit(f'{100 * a[\"total\"] / b[\"total\"]:.1f} %.', computed=True)",
        f"submit(len({ROWS}), computed=True)",
        "submit(len(grep('lost')['hits']), computed=True)",
        ENDS + "submit(ends.count('lost'), computed=True)",
        ENDS + "from collections import Counter\nsubmit(dict(Counter(ends)), computed=True)",
        ENDS + "from collections import Counter\nsubmit(Counter(ends).most_common(1)[0][0], computed=True)",
        YEARS + "submit(sum(years), computed=True)",
        YEARS + "submit(max(years), computed=True)",
        YEARS + "submit(min(years), computed=True)",
        YEARS + "import statistics\nsubmit(round(statistics.mean(years), 2), computed=True)",
        YEARS + "submit(sum(1 for year in years if year > 1715), computed=True)",
        YEARS + "FROM = 1715\nsubmit(len([year for year in years if year >= FROM]), computed=True)",
        YEARS + "submit(f'The last was built in {max(years)}.', computed=True)",
        "text = read('doc-2')\nsubmit(len(text.split()), computed=True)",
        "text = read('doc-2')\nsubmit(sum('lost' in line for line in text.splitlines()), computed=True)",
        "texts = [read(each) for each in records('doc-2')]\nsubmit(sum(map(len, texts)), computed=True)",
        LINES + "submit(len([each for each in lines if ' 7:' in each or ' 10:' in each]), computed=True)",
        YEARS + "submit(f'{float(sum(years)):,.2f} in all.', computed=True)",
        YEARS + "submit(sorted(years, reverse=True)[:5], computed=True)",
        ENDS + "from itertools import groupby\nsubmit(max(len(list(run)) for _, run in groupby(ends)), computed=True)",
        "submit(len({read(row).split(':')[0] for row in records('doc-2')}), computed=True)",
        "submit([row for row in map(read, records('doc-2')) if row.endswith('lost')], computed=True)",
    ],
)
def test_what_moves_with_the_records_is_computed(sandbox: Sandbox, code: str) -> None:
    draft = Asked(sandbox, in_code(code)).draft
    assert draft.computed, draft.reasons
    assert draft.stated == frozenset()


@pytest.mark.parametrize(
    "code",
    [
        "n = count('nothing')['total']\nsubmit(424242 + 0 * n, computed=True)",
        "n = count('lost')['total']\nsubmit(42 + 0 * n, computed=True)",
        f"submit([424242 for _ in {ROWS}], computed=True)",
        f"submit([42 for _ in {ROWS}], computed=True)",
        "n = count('lost')['total']\nsubmit(424242 if n else 1, computed=True)",
        "n = count('lost')['total']\nsubmit(42 if n else 1, computed=True)",
        "n = count('lost')['total']\nsubmit(42 if n == 10 else 7, computed=True)",
        "n = count('lost')['total']\nsubmit(424242 + n, computed=True)",
        "n = count('lost')['total']\nsubmit(n * 141414, computed=True)",
        "n = count('lost')['total']\nsubmit(n * int('141' + '414'), computed=True)",
        "n = count('lost')['total']\nsubmit('It was on 17 March ' + str(1845 + 0 * n) + '.', computed=True)",
        "n = count('lost')['total']\nsubmit(max(n, 42), computed=True)",
        "text = read('doc-1')\nat = text.index('1697')\nsubmit(int(text[at:at + 4]), computed=True)",
        "import re\nsubmit(int(re.search(r'in (\\d+)', read('doc-1'))[1]), computed=True)",
        "import re\nsubmit(re.findall(r'\\d+', read('doc-1'))[0], computed=True)",
        YEARS + "submit(years[5], computed=True)",
        YEARS + "submit(years[-1], computed=True)",
        "hit = grep('1697')['hits'][0]\nsubmit(int(hit['match']), computed=True)",
        "import random\nsubmit(random.randint(1, 99) + 0 * count('lost')['total'], computed=True)",
        f"rows = {ROWS}\nsubmit('There are 424242.' if rows else 'None.', computed=True)",
        LINES
        + "n = [int(each[-10:-6]) for each in lines if each.startswith('Ship 17:')]\nsubmit(sum(n), computed=True)",
        "for row in records('doc-2'):\n    n = int(read(row).split(' in ')[1][:4])\nsubmit(n, computed=True)",
        "hits = grep('lost')['hits']\nsubmit(f'{count(\"lost\")[\"total\"] - len(hits) + 42} ships.', computed=True)",
        f"rows = {ROWS}\nsubmit(f'The fleet of {{len(rows)}} ships was worth {{26 * 1000}}.', computed=True)",
        f"rows = {ROWS}\nout = []\nfor row in rows:\n    out = [7, 5]\nsubmit(out, computed=True)",
    ],
)
def test_what_code_states_or_reads_in_one_place_is_not_computed(sandbox: Sandbox, code: str) -> None:
    draft = Asked(sandbox, in_code(code)).draft
    assert not draft.computed
    assert any("The answer was said to be computed" in reason for reason in draft.reasons)


def test_names_in_any_alphabet_are_counted(sandbox: Sandbox) -> None:
    lines = "\n".join(f"Запись {n}: {('Анна', 'Борис', 'Вера')[n % 3]}" for n in range(12))
    names = "{line.split(': ')[1] for line in read('doc-1').splitlines() if ': ' in line}"
    code = f"submit(len({names}), computed=True)"
    assert Asked(sandbox, in_code(code), documents=(lines,)).draft.computed


def test_code_that_takes_too_long_again_is_not_called_computed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm.loop.replay._MOST_SECONDS", -1.0)
    draft = Asked(sandbox, in_code("submit(count('lost')['total'], computed=True)")).draft
    assert not draft.computed
    assert any("running its code again takes more than" in reason for reason in draft.reasons)


def test_handles_that_the_code_names_are_read_again(sandbox: Sandbox) -> None:
    code = "texts = read(['doc-1', 'doc-2'])\nsubmit(sum(len(text.split()) for text in texts), computed=True)"
    assert Asked(sandbox, in_code(code)).draft.computed


def test_only_the_sentences_that_move_are_computed(sandbox: Sandbox) -> None:
    code = "n = count('lost')['total']\nsubmit(f'The price was 777. {n} ships were lost.', computed=True)"
    draft = Asked(sandbox, in_code(code)).draft
    assert draft.computed
    assert draft.stated == {"The price was 777."}


def test_a_number_of_the_question_may_stand_in_the_code(sandbox: Sandbox) -> None:
    question = "What do the lost ships cost at 175 each?"
    for price, is_computed in ((175, True), (176, False)):
        code = f"n = count('lost')['total']\nsubmit(n * {price}, computed=True)"
        assert Asked(sandbox, in_code(code), question=question).draft.computed is is_computed


def test_cells_before_the_last_one_are_run_again_too(sandbox: Sandbox) -> None:
    cells = ["n = 0", "n += count('lost')['total']", "1 / 0", "submit(n + count('sold')['total'], computed=True)"]
    draft = Asked(sandbox, *map(in_code, cells)).draft
    assert draft.computed


def test_labels_that_a_model_gave_are_counted(sandbox: Sandbox) -> None:
    labels = f"labels = classify({ROWS}, {{'lost': 'went down', 'sold': 'has a new owner'}})\n"
    for count in ("labels.count('lost')", "max(set(labels), key=labels.count)", "len([x for x in labels if x])"):
        asked = Asked(
            sandbox,
            in_code(f"{labels}submit({count}, computed=True)"),
            rule=lambda record: "lost" if "lost" in record else "sold",
        )
        assert asked.draft.computed, count
