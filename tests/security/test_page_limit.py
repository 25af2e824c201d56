"""Documents of very many pages are refused by their number before a page is read: in seconds, with little memory."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.parsing.errors import ParseError, ParserLimitError
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.types import ParserLimits
from tests.support.parsing import assert_still_parses, parse, parse_as
from tests.support.pdf_files import pdf, pdf_of_nested_references, pdf_of_references

LITTLE = ParserLimits(memory_bytes=600_000_000, cpu_seconds=20, wall_seconds=120.0)
MANY = 100_000


@pytest.fixture
def sandbox() -> Iterator[ParserSandbox]:
    with ParserSandbox(LITTLE) as sandbox:
        yield sandbox


def test_a_small_pdf_that_names_one_page_many_times_is_refused_with_both_numbers(
    sandbox: ParserSandbox, tmp_path: Path
) -> None:
    content = pdf_of_references(MANY)
    assert len(content) < 700_000
    with pytest.raises(ParserLimitError, match="has 100,000 pages; the limit is 20,000") as raised:
        parse(sandbox, tmp_path, "pages.pdf", content)
    assert "LEADLINE_MAX_PAGES" in raised.value.hint
    assert_still_parses(sandbox, tmp_path)


def test_a_pdf_that_has_to_be_repaired_is_counted_too(sandbox: ParserSandbox, tmp_path: Path) -> None:
    content = pdf_of_references(MANY).replace(b"%PDF", b"%XDF")  # which PDFium opens only after a repair
    with pytest.raises(ParserLimitError, match="has 100,000 pages"):
        parse_as(sandbox, tmp_path, "application/pdf", content)
    assert_still_parses(sandbox, tmp_path)


@pytest.mark.parametrize(("depth", "width"), [(12, 10), (3, 100)])
def test_a_page_tree_that_multiplies_itself_ends_soon(
    sandbox: ParserSandbox, tmp_path: Path, depth: int, width: int
) -> None:
    with pytest.raises(ParseError) as raised:
        parse(sandbox, tmp_path, "tree.pdf", pdf_of_nested_references(depth, width))
    assert "CPU time" not in raised.value.detail
    assert_still_parses(sandbox, tmp_path)


def test_the_limit_reaches_the_process_that_parses(tmp_path: Path) -> None:
    with ParserSandbox(replace(LITTLE, pages=3)) as of_three:
        assert len(parse(of_three, tmp_path, "a.pdf", pdf([["One."], ["Two."], ["Three."]])).layout.places) == 3
        with pytest.raises(ParserLimitError, match="has 4 pages; the limit is 3"):
            parse(of_three, tmp_path, "b.pdf", pdf([["One."], ["Two."], ["Three."], ["Four."]]))
