import json
import os
from pathlib import Path

import pytest

from ingest.errors import ParserLimitError
from ingest.parsing.handover import (
    RECORD_FILE,
    TEXT_FILE,
    HandoverError,
    read_document,
    write_document,
)
from ingest.parsing.types import ParsedDocument

DOCUMENT = ParsedDocument("Größe\n\n5 €", (0, 7), "Title", "pdf-1")


def _record(folder: Path, **changes: object) -> None:
    record = {"title": "Title", "pages": [0, 7], "parser": "pdf-1"} | changes
    (folder / RECORD_FILE).write_text(json.dumps(record))


def test_a_document_arrives_as_it_was_sent(tmp_path: Path) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    assert read_document(tmp_path, 1_000) == DOCUMENT


def test_a_text_past_the_limit_is_neither_sent_nor_read(tmp_path: Path) -> None:
    document = ParsedDocument("x" * 100, (), None, "text-1")
    with pytest.raises(ParserLimitError):
        write_document(document, tmp_path, 99)
    write_document(document, tmp_path, 100)
    assert read_document(tmp_path, 100) == document
    with pytest.raises(HandoverError):
        read_document(tmp_path, 99)


def test_reading_takes_the_memory_of_the_text_and_not_of_the_limit(tmp_path: Path) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    assert read_document(tmp_path, 1 << 60) == DOCUMENT


def test_the_limit_counts_bytes_and_not_characters(tmp_path: Path) -> None:
    with pytest.raises(ParserLimitError):
        write_document(DOCUMENT, tmp_path, len(DOCUMENT.text))


@pytest.mark.parametrize("name", [TEXT_FILE, RECORD_FILE])
def test_a_link_to_another_file_is_not_followed(tmp_path: Path, name: str) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    (tmp_path / name).rename(tmp_path / "elsewhere")
    (tmp_path / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(HandoverError):
        read_document(tmp_path, 1_000)


def test_a_pipe_does_not_keep_the_reader_waiting(tmp_path: Path) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    (tmp_path / TEXT_FILE).unlink()
    os.mkfifo(tmp_path / TEXT_FILE)
    with pytest.raises(HandoverError):
        read_document(tmp_path, 1_000)


@pytest.mark.parametrize(
    "changes",
    [
        {"pages": [7, 0]},
        {"pages": [0, 99]},
        {"pages": [-1]},
        {"pages": [0.5]},
        {"pages": ["0"]},
        {"pages": None},
        {"title": 5},
        {"parser": None},
    ],
)
def test_a_record_of_another_shape_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    _record(tmp_path, **changes)
    with pytest.raises(HandoverError):
        read_document(tmp_path, 1_000)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"[" * 100_000, b"\xff"])
def test_a_record_that_is_not_json_is_refused(tmp_path: Path, content: bytes) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    (tmp_path / RECORD_FILE).write_bytes(content)
    with pytest.raises(HandoverError):
        read_document(tmp_path, 1_000)


def test_a_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    (tmp_path / TEXT_FILE).write_bytes(b"\xff")
    with pytest.raises(HandoverError):
        read_document(tmp_path, 1_000)
