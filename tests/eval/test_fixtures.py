"""No test contains a page of the collections that `docs/measuring.md` judges by.

A rule made for such a page would be judged by the same page. Copies shorter than eight words, and single figures, are
not noticed: too many of them are coincidences.
"""

import re
from collections.abc import Iterator, Sequence, Set
from itertools import pairwise
from pathlib import Path

import pytest
from pypdfium2 import PdfDocument, PdfiumError

_TESTS = Path(__file__).parents[1]
_JUDGEMENTS = _TESTS / "eval" / "book_questions.jsonl"  # they quote the books that they judge by
_TEST_SUFFIXES = {".csv", ".html", ".json", ".jsonl", ".md", ".py", ".toml", ".txt", ".yaml"}
_COLLECTION_SUFFIXES = {".csv", ".html", ".json", ".jsonl", ".md", ".pdf"}

_WORD = re.compile(r"[^\W_]+")
_FIGURE = re.compile(r"\d[\d,._]*\d")
_YEAR = re.compile(r"(?:18|19|20)\d\d")
# Shorter runs are often idioms: "the same as if nothing had happened" has seven words.
_RUN_WORDS = 8
# Source code and lists repeat short words, letters and digits.
_DIFFERENT_WORDS = 5
_FIGURE_DIGITS = 4


def _iterate_word_runs(text: str) -> Iterator[str]:
    """Yield each run of eight words. Quotation marks and line ends of source code do not divide one."""
    words = _WORD.findall(text.replace("\\n", " ").casefold())
    for at in range(len(words) - _RUN_WORDS + 1):
        yield " ".join(words[at : at + _RUN_WORDS])


def _is_prose(run: str) -> bool:
    return len({word for word in run.split() if len(word) > 2 and word.isalpha()}) >= _DIFFERENT_WORDS


def _iterate_figure_pairs(text: str) -> Iterator[str]:
    """Yield each two large figures beside each other, such as those of a table's row, without their separators."""
    figures = [re.sub(r"\D", "", figure) for figure in _FIGURE.findall(text)]
    for one, other in pairwise(figures):
        if _is_telling(one) and _is_telling(other) and not _are_a_sequence(one, other):
            yield f"{one} {other}"


def _is_telling(figure: str) -> bool:
    return len(figure) >= _FIGURE_DIGITS and not figure.endswith("00") and not _YEAR.fullmatch(figure)


def _are_a_sequence(one: str, other: str) -> bool:
    """True for 1251 and 1252, or 1234 and 12345, which are common everywhere."""
    return abs(int(one) - int(other)) <= 1 or one.startswith(other) or other.startswith(one)


def _collect_marks(text: str) -> set[str]:
    """Return the word runs and figure pairs that a copy of a text would share with it."""
    return {*filter(_is_prose, _iterate_word_runs(text)), *_iterate_figure_pairs(text)}


def _find_shared(wanted: set[str], text: str) -> set[str]:
    return wanted.intersection(_iterate_word_runs(text)) | wanted.intersection(_iterate_figure_pairs(text))


def _list_files(folder: Path, suffixes: Set[str]) -> Sequence[Path]:
    return sorted(file for file in folder.rglob("*") if file.suffix in suffixes and file.is_file())


def _read(file: Path) -> str:
    if file.suffix != ".pdf":
        return file.read_text("utf-8", errors="replace")
    try:
        document = PdfDocument(file)
    except PdfiumError:  # it has a password; its text is among the collection's expected results
        return ""
    with document:
        return "\n".join(page.get_textpage().get_text_bounded() for page in document)


@pytest.mark.parametrize(
    ("fixture", "shared"),
    [
        ('rows = [\n    ("Nets", ("41,873", "39,562")),\n]', {"41873 39562"}),
        ("rows = [41_873, 39_562]", {"41873 39562"}),
        ('"The ferry left before "\n"the miller\\nhad paid his toll."', {"the ferry left before the miller had paid"}),
        ('("The ferry left before the mill.", "41,873", "2,015", "39,562")', set()),
        ('"Rows 1251, 1252 of 2015, 2016, and 1234 of 12345"', set()),
    ],
)
def test_a_copied_row_or_sentence_is_noticed_however_its_literals_are_divided(fixture: str, shared: set[str]) -> None:
    page = "The ferry left before the miller had paid.\nNets $ 41,873 $ 39,562\n1251 1252 2015 2016 1234 12345\n"
    assert _find_shared(_collect_marks(fixture), page) == shared


@pytest.mark.long
def test_no_fixture_has_a_sentence_or_a_row_of_a_judged_collection(data_folder: Path) -> None:
    marks = {file: _collect_marks(_read(file)) for file in _list_files(_TESTS, _TEST_SUFFIXES) if file != _JUDGEMENTS}
    wanted = set[str]().union(*marks.values())
    folders = [folder for folder in data_folder.iterdir() if folder.is_dir()]
    texts = [text for folder in folders for text in _list_files(folder, _COLLECTION_SUFFIXES)]
    assert texts, f"{data_folder} has no collection to compare with"
    found = []
    for text in texts:
        shared = _find_shared(wanted, _read(text))
        found += [
            f"{file.relative_to(_TESTS)} and {text.relative_to(data_folder)}: {mark}"
            for file, own in marks.items()
            for mark in sorted(shared & own)
        ]
    assert not found, "\n".join(["Write these in words and figures of your own:", *found])
