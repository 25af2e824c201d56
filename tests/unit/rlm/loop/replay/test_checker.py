"""Answers that move with what tools returned, and answers that only name a tool or read one place."""

import pytest

from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import in_code
from tests.support.recursive_runs import Asked

ROWS = "records('doc-2')"
LINES = f"lines = read({ROWS})\n"
YEARS = LINES + "years = [int(line.split(' in ')[1][:4]) for line in lines]\n"
ENDS = LINES + "ends = [line.split(', ')[1] for line in lines]\n"

MONTHS = ["Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November"]
MONTHS += ["Dezember"]
# The inventory of a store, with dates in words and in figures, and one cupboard apart.
INVENTORY = "\n".join(
    f"Posten {n}: {3 + n * 7 % 31} Stühle, erworben am {2 + n * 5 % 26}."
    + (f" {MONTHS[n * 7 % 12]} " if n % 2 else f"{1 + n * 7 % 12}.")
    + f"{1968 + n % 4}, Wert {40 + n * 137 % 860} Mark"
    for n in range(1, 25)
)
INVENTORY += "\n\nDer Schrank der Witwe trägt die Nummer 417 und wiegt 86 Kilo.\n"
# The minutes of meetings of one year, each a document of several lines.
MINUTES = tuple(
    f"# Réunion\n\nSéance du {2 + n * 5 % 26} mai 1987.\n\n"
    f"Présents : {5 + n * 3 % 14} membres, {100 + n * 61} francs.\n"
    + ("\nLe colis numéro 5312 pesait 7 kilos.\n" if n == 7 else "")
    for n in range(14)
)
POSTS = f"""import re
from datetime import date
months = {MONTHS}
posts = []
for line in read("doc-1").splitlines():
    found = re.match(r"Posten .*: \\d+ Stühle, erworben am (.+), Wert (\\d+) Mark", line)
    if found:
        day, month, year = re.split(r"[. ]+", found[1])
        month = months.index(month) + 1 if month in months else int(month)
        posts.append((date(int(year), month, int(day)), int(found[2])))
apart = re.search(r"Nummer (\\d+) und wiegt (\\d+) Kilo", read("doc-1")) or [0, 0, 0]
"""
MEETINGS = r"""import re
texts = read(outline())
years = [int(re.search(r"(19\d\d)\.", text)[1]) for text in texts]
francs = [int(re.search(r"(\d+) francs", text)[1]) for text in texts]
parcel = [re.search(r"numéro (\d+) pesait (\d+)", text) for text in texts]
parcel = next((found for found in parcel if found), [0, 0, 0])
"""


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
        "import random\nsubmit(random.random() + 0 * count('lost')['total'], computed=True)",
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
    assert any("The answer claims to be computed" in reason for reason in draft.reasons)


def test_names_in_any_alphabet_are_counted(sandbox: Sandbox) -> None:
    lines = "\n".join(f"Запись {n}: {('Анна', 'Борис', 'Вера')[n % 3]}" for n in range(12))
    names = "{line.split(': ')[1] for line in read('doc-1').splitlines() if ': ' in line}"
    code = f"submit(len({names}), computed=True)"
    assert Asked(sandbox, in_code(code), documents=(lines,)).draft.computed


def test_code_that_takes_too_long_again_is_not_called_computed(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm.loop.replay.checker._MAX_SECONDS", -1.0)
    draft = Asked(sandbox, in_code("submit(count('lost')['total'], computed=True)")).draft
    assert not draft.computed
    assert any("running its code again took more than" in reason for reason in draft.reasons)


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


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("Tage?", POSTS + "days = [post[0] for post in posts]\nsubmit((max(days) - min(days)).days, computed=True)"),
        (
            "Erster und letzter Tag?",
            POSTS + "a, b = min(posts)[0], max(posts)[0]\n"
            "submit(f'{a.day}. {months[a.month - 1]} {a.year} bis {b.day}.{b.month}.{b.year}: {(b - a).days} Tage', "
            "computed=True)",
        ),
        ("Höchster?", POSTS + "submit(f'Der höchste Wert ist {max(p[1] for p in posts)} Mark', computed=True)"),
        (
            "Wie viele über fünfhundert Mark, und zusammen?",
            POSTS + "over = [p[1] for p in posts if p[1] > 500]\n"
            "submit(f'{len(over)} sind mehr als 500 Mark wert, zusammen {sum(over)} Mark', computed=True)",
        ),
        (
            "Wie viel mit 4 Prozent Aufschlag?",
            POSTS + "submit(f'{sum(p[1] for p in posts) * 1.04:.2f} Mark', computed=True)",
        ),
        (
            "In welchem Jahr am meisten?",
            POSTS + "from collections import Counter\n(year, n), = Counter(p[0].year for p in posts).most_common(1)\n"
            "submit(f'Im Jahr {year} waren es {n} von {len(posts)}', computed=True)",
        ),
    ],
)
def test_what_is_computed_from_an_inventory_is_computed(sandbox: Sandbox, question: str, code: str) -> None:
    draft = Asked(sandbox, in_code(code), documents=(INVENTORY,), question=question).draft
    assert draft.computed, draft.reasons
    assert draft.stated == frozenset()


@pytest.mark.parametrize(
    ("code", "failing"),
    [
        ("{len(posts)} Posten, und der Schrank wiegt {apart[2]} Kilo", "86"),
        ("{sum(p[1] for p in posts)} Mark, und der Schrank hat {apart[1]}", "417"),
        ("{len(posts)} Posten in {7} Räumen", "7"),
        ("{len(posts)} Posten in {12 if len(posts) == 24 else 5} Räumen", "12"),
        ("{len(posts)} Posten, versichert für 90500 Mark", "90500"),
    ],
)
def test_a_number_beside_one_that_moves_has_to_move_itself(sandbox: Sandbox, code: str, failing: str) -> None:
    cell = f'{POSTS}submit(f"{code}", computed=True)'
    draft = Asked(sandbox, in_code(cell), documents=(INVENTORY,), question="?").draft
    assert not draft.computed
    (doubt,) = (each for each in draft.reasons if "computed" in each)
    assert failing in doubt


def test_a_bound_on_which_nothing_depends_has_to_move(sandbox: Sandbox) -> None:
    code = POSTS + "n = len(posts)\nif n > 905:\n    n = 0\nsubmit(f'{n} Posten für 905 Mark', computed=True)"
    assert not Asked(sandbox, in_code(code), documents=(INVENTORY,), question="?").draft.computed


def test_a_value_with_which_the_code_reckons_may_be_read_in_one_place(sandbox: Sandbox) -> None:
    code = POSTS + (
        "limit, total = int(apart[1]), sum(p[1] for p in posts)\n"
        "submit(f'{total} Mark sind {total - limit} mehr als {limit}', computed=True)"
    )
    assert Asked(sandbox, in_code(code), documents=(INVENTORY,), question="?").draft.computed


@pytest.mark.parametrize(
    ("code", "is_computed"),
    [
        ("(year,) = set(years)\nsubmit(f'{len(texts)} séances, toutes de {year}', computed=True)", True),
        ("submit(f'{sum(francs)} francs en {len(texts)} séances', computed=True)", True),
        ("submit(f'{len(texts)} séances, et le colis pesait {parcel[2]} kilos', computed=True)", False),
        ("submit(f'{sum(francs)} francs, et le colis avait le numéro {parcel[1]}', computed=True)", False),
    ],
)
def test_what_all_documents_say_is_computed_and_what_one_says_is_not(
    sandbox: Sandbox, code: str, is_computed: bool
) -> None:
    draft = Asked(sandbox, in_code(MEETINGS + code), documents=MINUTES, question="?").draft
    assert draft.computed is is_computed, draft.reasons


def test_a_sentence_of_which_a_number_stays_is_named_beside_others_that_move(sandbox: Sandbox) -> None:
    code = POSTS + "submit(f'{len(posts)} Posten. Es sind {7} Räume.', computed=True)"
    draft = Asked(sandbox, in_code(code), documents=(INVENTORY,), question="?").draft
    assert draft.stated == {"Es sind 7 Räume."}
    assert any(
        'The sentence "Es sind 7 Räume." is not marked as computed: 7 stayed the same' in each for each in draft.reasons
    )
