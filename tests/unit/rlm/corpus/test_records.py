import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus import records as module
from rlm.corpus.records import SplitMethod, select_split_method, split_records
from rlm.errors import PatternError, RunCancelledError
from tests.support.books import book
from tests.support.corpora import CITIES, corpus_of, tables_of_cities


def cut(text: str, by: SplitMethod, pattern: str = "") -> list[str]:
    corpus = corpus_of(text, markdown=False)
    return [corpus.load_text(each.handle) for each in split_records(corpus, by, pattern)]


@given(st.lists(st.text(alphabet="ab |,\t", max_size=12), max_size=12))
def test_every_line_with_text_is_a_record(lines: list[str]) -> None:
    assert cut("\n".join(lines), SplitMethod.LINE) == [line.strip() for line in lines if line.strip()]


@given(st.integers(1, 40), st.integers(1, 60))
def test_windows_do_not_show(count: int, window: int) -> None:
    lines = [f"line {n} " + "x" * (n % 7) for n in range(count)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW", window)
        assert cut("\n".join(lines), SplitMethod.LINE) == [line.strip() for line in lines]


def test_records_run_from_one_start_to_the_next() -> None:
    text = "Preface.\n\nCase 1: rain\nall day\n\nCase 2: snow\n"
    assert cut(text, SplitMethod.START, r"^Case \d+") == ["Case 1: rain\nall day", "Case 2: snow"]


def test_records_between_separators() -> None:
    assert cut("one\n---\n two \n---\n\n---\nthree", SplitMethod.SEPARATOR, r"^---$") == ["one", "two", "three"]


def test_a_start_that_matches_nowhere_gives_no_record() -> None:
    assert cut("one\ntwo", SplitMethod.START, "^three") == []


@given(st.integers(1, 3), st.integers(1, 2))
def test_chunks_hold_all_text_but_white_space(chapters: int, books: int) -> None:
    corpus = corpus_of(*(book(n, chapters=chapters, sentences=30) for n in range(books)))
    held = "".join(corpus.load_text(each.handle) for each in split_records(corpus, SplitMethod.CHUNK))
    whole = "".join(corpus.load_text(each.handle) for each in corpus.documents)
    assert "".join(held.split()) == "".join(whole.split())


def test_whole_documents_are_records() -> None:
    corpus = corpus_of("one", "", "three")
    assert [corpus.load_text(each.handle) for each in split_records(corpus, SplitMethod.DOCUMENT)] == ["one", "three"]


def test_rows_have_their_cells_and_their_spans_whatever_stands_in_them() -> None:
    corpus = corpus_of(CITIES, tables=tables_of_cities("v1"))
    rows = list(split_records(corpus, SplitMethod.ROW))
    assert [row.row for row in rows] == [1, 2, 3]
    assert [row.values["people"] for row in rows] == [709037, 291940, 12]
    assert corpus.load_text(rows[2].handle) == '"Two\nNames",12,'
    assert rows[2].values == {"city": "Two\nNames", "people": 12, "founded": None}


def test_only_documents_with_tables_alone_are_cut_into_rows_unasked() -> None:
    corpus = corpus_of(CITIES, "Prose.", tables=tables_of_cities("v1"))
    table, prose = (each.handle for each in corpus.documents)
    assert select_split_method(corpus, [table]) is SplitMethod.ROW
    assert select_split_method(corpus, [table, prose]) is SplitMethod.LINE
    assert select_split_method(corpus, []) is SplitMethod.LINE


@pytest.mark.parametrize(
    ("by", "pattern", "expected"),
    [
        (SplitMethod.LINE, "", ["two", "three"]),
        (SplitMethod.START, r"^t", ["two", "three"]),
        (SplitMethod.SEPARATOR, r"\n", ["two", "three"]),
        (SplitMethod.DOCUMENT, "", ["two\nthree"]),
        (SplitMethod.ROW, "", []),
    ],
)
def test_a_span_is_cut_alone(by: SplitMethod, pattern: str, expected: list[str]) -> None:
    corpus = corpus_of("one\ntwo\nthree\nfour", "two")
    span = corpus.documents[0].handle[4:13]
    assert [corpus.load_text(each.handle) for each in split_records(corpus, by, pattern, spans=[span])] == expected


@pytest.mark.parametrize("wrong", [(SplitMethod.LINE, "x"), (SplitMethod.START, ""), (SplitMethod.SEPARATOR, "")])
def test_a_pattern_is_given_where_one_is_used(wrong: tuple[SplitMethod, str]) -> None:
    with pytest.raises(ValueError, match="pattern"):
        cut("one", *wrong)


@pytest.mark.parametrize("by", [SplitMethod.START, SplitMethod.SEPARATOR])
def test_a_pattern_that_takes_too_long_is_said_to(by: SplitMethod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATTERN_SECONDS", 0.2)
    with pytest.raises(PatternError, match="time limit"):
        cut("a" * 5_000 + "!", by, r"(a|aa)+$")


@pytest.mark.parametrize("by", [SplitMethod.LINE, SplitMethod.CHUNK, SplitMethod.DOCUMENT, SplitMethod.ROW])
def test_cutting_ends_when_nobody_wants_it_any_more(by: SplitMethod) -> None:
    corpus = corpus_of(CITIES, tables=tables_of_cities("v1"))
    with pytest.raises(RunCancelledError):
        list(split_records(corpus, by, cancelled=lambda: True))
