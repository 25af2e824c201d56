"""One document in its process, without the process."""

from pathlib import Path

import pytest

from ingest.parsing.isolation.child import parse_into_folder
from ingest.parsing.registry import get_parser
from ingest.parsing.types import DEFAULT_LIMITS, ParsedDocument


@pytest.mark.parametrize("content", [",,,,\n" * 9, "---\n***\n", "``` ```", "…"])
def test_a_text_without_a_letter_or_a_digit_is_no_text(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    said = parse_into_folder(file, "text/plain", tmp_path, DEFAULT_LIMITS, get_parser)
    assert (said["code"], bool(said["hint"])) == ("no_text", True)


def test_a_librarys_panic_is_a_damaged_document(tmp_path: Path) -> None:
    class Panic(BaseException):
        """As Rust's reach Python."""

    def parse(path: Path) -> ParsedDocument:
        raise Panic

    said = parse_into_folder(tmp_path / "a", "text/plain", tmp_path, DEFAULT_LIMITS, lambda kind: parse)
    assert said["code"] == "document_damaged"
    assert said["hint"]


@pytest.mark.parametrize("content", ["a", "7", "猫", "\u0e01"])
def test_a_text_of_one_letter_or_digit_is_one(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    assert parse_into_folder(file, "text/plain", tmp_path, DEFAULT_LIMITS, get_parser) == {}
