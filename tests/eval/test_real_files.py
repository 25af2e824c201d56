"""Files that people really have, against what another parser made of them as Markdown: an oracle, not the truth.

Every heading and every cell of a table that the oracle has must be found, and each number of a list with its item.
"""

import re
import shutil
import subprocess
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest

from ingest.parsing.registry import find_document_tables, get_parser
from ingest.parsing.sniff import sniff_file_type
from ingest.parsing.types import ParsedDocument

pytestmark = pytest.mark.slow

_KINDS = ("docx", "pptx", "odf", "epub", "html")
# Text of the oracle that readers of the file do not see there, or see beside the content.
_NOT_WANTED = {
    "odf_presentation_01.odp": {"Slide3", "1. Let’s introduce a list"},
    "wiki_duck.html": {
        "Contents",
        "Authority control databases",
        "United States",
        "IdRef",
        "Scientific classification",
    },
}
# Charts become pictures in RTF, and equations become fields.
_LOST_BY_LIBREOFFICE: dict[str, set[str]] = {
    "odt": set(),
    "rtf": {"drawingml.docx", "table_with_equations.docx"},
    "odp": {"pptx_chart.pptx"},  # whose header is of our making
}
_check_box = re.compile(r"\[[ x]\]")
_image = re.compile(r"\[Image: ([^\]]*)\]")
_comment = re.compile(r"<!--.*?-->", re.DOTALL)
_address = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_emphasis = re.compile(r"\*{1,3}|~~|`")
_escape = re.compile(r"\\([_*#`\[\]<>&.!-])")
_mathematics = re.compile(r"\$[^$]*\$")
_heading = re.compile(r"^#{1,6} (?P<title>.+)$", re.MULTILINE)
_item = re.compile(r"^ *(?P<number>\d+\.) (?P<text>\S.*)$", re.MULTILINE)
_word = re.compile(r"\w+")


def sources(folder: Path, kind: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of a kind that are read, with the oracle's text."""
    for oracle in sorted((folder / "real-files" / kind / "groundtruth").glob("*.md")):
        source = folder / "real-files" / kind / "sources" / oracle.stem
        if source.exists() and source.suffix not in {".ods", ".png"}:
            yield source, _plain(oracle.read_text(encoding="utf-8"))


def _plain(markdown: str) -> str:
    text = unescape(_address.sub(r"\1", _check_box.sub("", _comment.sub("", markdown))))
    return _escape.sub(r"\1", _emphasis.sub("", _mathematics.sub("", text)))


def _tables(source: Path) -> set[str]:
    """Return the letters and digits of each header and row of a file's record tables."""
    document = _parsed(source)
    with source.open("rb") as file:
        found = find_document_tables(document, sniff_file_type(file, source.name, None))
    rows = {_letters("".join(row.cells)) for table in found for row in table.rows()}
    return rows | {_letters("".join(table.columns)) for table in found}


def _parsed(source: Path) -> ParsedDocument:
    with source.open("rb") as file:
        media_type = sniff_file_type(file, source.name, None)
    return get_parser(media_type)(source)


def _letters(text: str) -> str:
    """Return letters and digits alone: the oracle puts blanks around each change of style."""
    return "".join(_word.findall(text)).casefold()


def _cells(markdown: str) -> Iterator[str]:
    for line in markdown.split("\n"):
        if line.startswith("|"):
            yield from (cell for cell in re.split(r"(?<!\\)\|", line.strip("|")) if _word.search(cell))


@pytest.mark.parametrize("kind", _KINDS)
def test_every_heading_cell_and_number_of_the_oracle_is_found(data_folder: Path, kind: str) -> None:
    missing: list[tuple[str, str]] = []
    found = 0
    for source, oracle in sources(data_folder, kind):
        text = _letters(_image.sub(r"\1", _parsed(source).text))
        wanted = [
            *(match["title"] for match in _heading.finditer(oracle)),
            *_cells(oracle),
            *(f"{match['number']} {match['text']}" for match in _item.finditer(oracle)),
        ]
        not_wanted = _NOT_WANTED.get(source.name, set())
        wanted = [each for each in wanted if not any(words in each for words in not_wanted)]
        lacking = [each for each in wanted if _letters(each) not in text]
        found += len(wanted) - len(lacking)
        missing += [(source.name, each) for each in lacking]
    assert found
    assert missing == []


@pytest.mark.parametrize("kind", ["csv", "xlsx", "xls", "odf"])
def test_most_rows_of_the_oracles_tables_are_rows_of_record_tables(data_folder: Path, kind: str) -> None:
    missing: list[tuple[str, str]] = []
    found = 0
    for oracle in sorted((data_folder / "real-files" / kind / "groundtruth").glob("*.md")):
        source = oracle.parents[1] / "sources" / oracle.stem
        if source.suffix in {".csv", ".xlsx", ".xlsm", ".xls", ".ods"}:
            rows = _tables(source)
            lines = oracle.read_text(encoding="utf-8").replace(" 00:00:00", "").split("\n")
            wanted = [each for line in lines if line.count("|") > 2 and len(each := _letters(line)) > 2]
            lacking = [each for each in wanted if each not in rows]
            found += len(wanted) - len(lacking)
            missing += [(source.name, each) for each in lacking]
    assert found
    assert len(missing) <= found / 4, missing


@pytest.mark.long
@pytest.mark.skipif(shutil.which("soffice") is None, reason="needs LibreOffice: apt install libreoffice-writer-nogui")
@pytest.mark.parametrize(("kind", "other"), [("docx", "odt"), ("docx", "rtf"), ("pptx", "odp")])
def test_a_file_that_libreoffice_converts_reads_the_same(
    data_folder: Path, tmp_path: Path, kind: str, other: str
) -> None:
    originals = sorted((data_folder / "real-files" / kind / "sources").glob(f"*.{kind}"))
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", other, "--outdir", str(tmp_path), *map(str, originals)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=500)
    missing: list[tuple[str, str]] = []
    compared = 0
    for original in originals:
        before, after = _parsed(original), _parsed(tmp_path / f"{original.stem}.{other}")
        text = _letters(after.text)
        titles = [heading.title for heading in before.layout.headings]
        for each in (*titles, *_cells(before.text)):
            compared += 1
            if _letters(_image.sub("", each)) not in text:
                missing.append((original.name, each))
    assert compared
    assert {name for name, _ in missing} <= _LOST_BY_LIBREOFFICE[other], missing
