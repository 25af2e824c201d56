import pytest
from hypothesis import given
from hypothesis import strategies as st
from rlm.corpus.lines import fields

from rlm.corpus import records as module
from rlm.corpus.records import Records, SplitBy, Splitting, guess_splitting, split
from rlm.errors import PatternError, RunCancelledError
from tests.support.books import book
from tests.support.corpora import corpus_of

HEADER = "The following lines contain 3 questions, one per line.\nDo not try to guess: each has a label.\n\n"
FOOTER = "\n\nThe preceding lines contain 3 questions, one per line.\n"
LINES = [
    "Date: Oct 14, 2022 || User: 76063 || Instance: What does NASA stand for?",
    "Date: Jan 02, 2023 || User: 11542 || Instance: Who wrote: Emma || and when?",
    "Date: Feb 09, 2023 || User: 76063 || Instance: Where is Kew?",
]


def cut(text: str, splitting: Splitting) -> tuple[list[str], Records]:
    corpus = corpus_of(text, markdown=False)
    records = split(corpus, splitting)
    return [corpus.text(handle) for handle in records.handles], records


def test_lines_are_records_and_header_and_footer_are_left_out() -> None:
    found, records = cut(HEADER + "\n".join(LINES) + FOOTER, Splitting(SplitBy.LINE))
    assert found == LINES
    assert records.left_out_count == 3


def test_of_plain_lines_the_largest_run_are_the_records() -> None:
    questions = [f"Where does number {number} live" for number in range(30)]
    found, records = cut(HEADER + "\n".join(questions) + FOOTER, Splitting(SplitBy.LINE))
    assert found == questions
    assert records.left_out_count == 3


def test_plain_lines_with_blank_ones_between_are_all_records() -> None:
    found, _ = cut("one\n\ntwo\n\nthree\n\nfour\n", Splitting(SplitBy.LINE))
    assert found == ["one", "two", "three", "four"]


def test_rows_of_a_table_are_records_and_its_first_row_names_the_columns() -> None:
    found, records = cut("# People\n\n| name | age |\n|---|---|\n| Ann | 3 |\n| Bob | 4 |\n", Splitting(SplitBy.LINE))
    assert found == ["| Ann | 3 |", "| Bob | 4 |"]
    assert records.columns == ("name", "age")


def test_json_objects_are_records_whichever_member_comes_first() -> None:
    lines = [f'{{"name": "n{n}", "amount": {n}}}' if n % 3 else f'{{"code": 1, "name": "n{n}"}}' for n in range(30)]
    found, records = cut("\n".join(lines), Splitting(SplitBy.LINE))
    assert (found, records.left_out_count) == (lines, 0)


def test_each_table_of_a_document_has_a_row_of_names() -> None:
    months = "\n".join(f"## Month {n}\n\n| user | paid |\n|---|---|\n| Ann | {n} |\n| Bob | 4 |\n" for n in range(5))
    found, records = cut(months, Splitting(SplitBy.LINE))
    assert len(found) == 10
    assert not any("user" in row for row in found)
    assert records.columns == ("user", "paid")


def test_names_are_those_of_the_table_whose_rows_are_records() -> None:
    legend = "| code | meaning |\n|---|---|\n| a | all |\n\n"
    rows = "\n".join(f"| {n} | a \\| b | 3 |" if n == 2 else f"| {n} | x | 3 |" for n in range(5))
    found, records = cut(f"{legend}| day | what | paid |\n|---|---|---|\n{rows}", Splitting(SplitBy.LINE))
    assert len(found) == 5
    assert records.columns == ("day", "what", "paid")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", ", "])
def test_rows_of_csv_are_records_under_the_names_of_its_first(delimiter: str) -> None:
    rows = [delimiter.join((str(n), "ann", f'"leaks, ""badly""; {n} times"', "3")) for n in range(20)]
    found, records = cut("\n".join([delimiter.join(("id", "user", "what", "paid")), *rows]), Splitting(SplitBy.LINE))
    assert found == rows
    assert records.columns == ("id", "user", "what", "paid")
    assert fields(rows[7], records.columns) == {
        "id": "7",
        "user": "ann",
        "what": 'leaks, "badly"; 7 times',
        "paid": "3",
    }


def test_rows_of_csv_without_names_are_all_records() -> None:
    rows = [f"{n},ann,7" for n in range(5)]
    found, records = cut("\n".join(rows), Splitting(SplitBy.LINE))
    assert (found, records.columns) == (rows, ())


def test_what_is_no_row_of_csv_among_them_is_left_out() -> None:
    rows = [f"{n},ann,7" for n in range(9)]
    found, records = cut("\n".join(["id,user,paid", *rows, "9,ann", "End of file."]), Splitting(SplitBy.LINE))
    assert found == rows
    assert records.left_out_count == 3


@pytest.mark.parametrize("extra", ["Total,,123", "Grand total,,", ",,", ",,\n,,\nSum,,9"])
def test_what_spreadsheets_add_at_the_end_is_no_record(extra: str) -> None:
    rows = [f"{n},ann,7" for n in range(9)]
    found, records = cut("\n".join(["id,user,paid", *rows, extra]), Splitting(SplitBy.LINE))
    assert found == rows
    assert records.columns == ("id", "user", "paid")


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        (",user,temp (°C)", ("column 1", "user", "temp (°C)")),
        ("user,user,Did you like it?", ("user", "user 2", "Did you like it?")),
        ("user,2021,2022", ("user", "2021", "2022")),
    ],
)
def test_columns_are_called_as_people_call_them(header: str, columns: tuple[str, ...]) -> None:
    rows = [f"{n},5,7" for n in range(9)]
    found, records = cut("\n".join([header, *rows]), Splitting(SplitBy.LINE))
    assert (found, records.columns) == (rows, columns)


def test_a_row_may_begin_with_a_time_and_have_other_delimiters_in_a_cell() -> None:
    rows = [f"2024-03-01 10:{n:02},we came; we left,{n}" for n in range(9)]
    found, records = cut("\n".join(["time,text,paid", *rows]), Splitting(SplitBy.LINE))
    assert (found, records.columns) == (rows, ("time", "text", "paid"))


def test_files_of_csv_with_the_same_names_have_one_table() -> None:
    files = ["id,user,paid\n" + "\n".join(f"{n},ann,{n}" for n in range(5)) for _ in range(3)]
    corpus = corpus_of(*files, markdown=False)
    assert guess_splitting(corpus) == Splitting(SplitBy.LINE)
    records = split(corpus, Splitting(SplitBy.LINE))
    assert (len(records), records.columns) == (15, ("id", "user", "paid"))


def test_prose_with_commas_is_no_csv() -> None:
    lines = [
        "The ship, the sea, and the sky.",
        "It sailed, as ships do.",
        "Nobody knew why; nobody asked; nobody cared.",
        "Ann, Bob, Cid and Dan, who were there, said so.",
        "Then it was over.",
        "Salt, rope, tar.",
    ]
    found, records = cut("\n".join(lines), Splitting(SplitBy.LINE))
    assert (found, records.columns) == (lines, ())


def test_tables_that_name_their_cells_differently_have_no_names_in_common() -> None:
    tables = [f"| day | {names} |\n|---|---|---|\n| 1 | 2 | 3 |\n| 4 | 5 | 6 |" for names in ("a | b", "b | a")]
    assert split(corpus_of(*tables, markdown=False), Splitting(SplitBy.LINE)).columns == ()
    assert len(split(corpus_of(*tables, markdown=False), Splitting(SplitBy.LINE))) == 4


@given(st.lists(st.text(alphabet="abé \t", max_size=12), max_size=20))
def test_every_line_with_text_is_a_record_or_left_out(lines: list[str]) -> None:
    text = "\n".join(lines) or "x"
    found, records = cut(text, Splitting(SplitBy.LINE))
    expected = [line.strip() for line in text.split("\n") if line.strip()]
    pieces = sorted((*records.handles, *records.left_out))
    assert [corpus_of(text).text(piece) for piece in pieces] == expected
    assert len(found) + records.left_out_count == len(expected)


@given(st.integers(1, 60), st.integers(10, 80))
def test_windows_do_not_show(count: int, window: int) -> None:
    text = "\n".join(f"User: {number} || Text: {'x' * (number % 50)}" for number in range(count))
    whole, _ = cut(text, Splitting(SplitBy.LINE))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_WINDOW", window)
        assert cut(text, Splitting(SplitBy.LINE))[0] == whole
    assert len(whole) == count


def test_records_that_begin_where_a_pattern_matches() -> None:
    text = "Preface\n\nQ1: one\nmore\nQ2: two\nQ3: three\n\nThe end.\n"
    found, records = cut(text, Splitting(SplitBy.START, r"^Q\d+:"))
    assert found == ["Q1: one\nmore", "Q2: two", "Q3: three"]
    assert records.left_out_count == 2


def test_records_between_separators() -> None:
    found, _ = cut("a\nb\n---\nc\n---\n\n---\nd", Splitting(SplitBy.SEPARATOR, r"^---$"))
    assert found == ["a\nb", "c", "d"]


def test_a_pattern_that_matches_nowhere_leaves_all_out() -> None:
    found, records = cut("abc", Splitting(SplitBy.START, "x"))
    assert found == []
    assert records.left_out_count == 1


@given(st.integers(1, 5), st.integers(1, 3))
def test_chunks_hold_all_text_but_white_space(chapters: int, books: int) -> None:
    corpus = corpus_of(*(book(seed, chapters=chapters, sentences=20) for seed in range(books)))
    records = split(corpus, Splitting(SplitBy.CHUNK))
    kept = "".join("".join(corpus.text(handle).split()) for handle in records.handles)
    assert kept == "".join("".join(corpus.text(document.handle).split()) for document in corpus.documents)


def test_whole_documents_are_records() -> None:
    corpus = corpus_of("one", "two")
    assert split(corpus, Splitting(SplitBy.DOCUMENT)).handles == tuple(each.handle for each in corpus.documents)


@pytest.mark.parametrize("given_pattern", [(SplitBy.LINE, "x"), (SplitBy.START, "")])
def test_a_pattern_is_given_where_one_is_used(given_pattern: tuple[SplitBy, str]) -> None:
    with pytest.raises(ValueError, match="pattern"):
        Splitting(*given_pattern)


@pytest.mark.parametrize(
    ("documents", "expected"),
    [
        ([HEADER + "\n".join(LINES) + FOOTER], SplitBy.LINE),
        (["I was charged twice.\nPlease help."] * 9, SplitBy.DOCUMENT),
        ([book(1)], SplitBy.CHUNK),
        ([], SplitBy.CHUNK),
    ],
    ids=["record lines", "short documents", "a book", "nothing"],
)
def test_how_to_split_is_guessed_from_what_is_there(documents: list[str], expected: SplitBy) -> None:
    assert guess_splitting(corpus_of(*documents)).by is expected


@pytest.mark.parametrize("by", [SplitBy.START, SplitBy.SEPARATOR])
def test_a_pattern_that_takes_too_long_is_said_to(by: SplitBy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATTERN_SECONDS", 0.0)
    with pytest.raises(PatternError, match="takes longer than a search"):
        split(corpus_of("a - b - c"), Splitting(by, "-"))


SPLITTINGS = [
    Splitting(SplitBy.LINE),
    Splitting(SplitBy.CHUNK),
    Splitting(SplitBy.DOCUMENT),
    Splitting(SplitBy.START, "a"),
    Splitting(SplitBy.SEPARATOR, "-"),
]


@pytest.mark.parametrize("splitting", SPLITTINGS, ids=lambda splitting: splitting.by)
def test_splitting_ends_when_nobody_wants_it_any_more(splitting: Splitting) -> None:
    with pytest.raises(RunCancelledError):
        split(corpus_of("a - b"), splitting, cancelled=lambda: True)


def test_it_ends_in_the_middle_of_a_document() -> None:
    answers = iter([False, True])
    with pytest.raises(RunCancelledError):
        split(corpus_of("a\nb"), Splitting(SplitBy.LINE), cancelled=lambda: next(answers))
