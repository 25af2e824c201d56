import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.parsing.errors import ParserLimitError
from ingest.parsing.isolation.handover import (
    POSITIONS_FILE,
    RECORD_FILE,
    TEXT_FILE,
    HandoverError,
    read_document,
    write_document,
)
from ingest.parsing.types import ParsedDocument
from ingest.storage.texts.layout import Layout, build_pages
from ingest.storage.texts.positions import Box, PositionsBuilder

TREE: dict[str, list[object]] = {"headings": [], "places": [], "tables": []}
DOCUMENT = ParsedDocument("Größe\n\n5 €", "Title", "pdf-1", layout=Layout(places=build_pages((0, 7))))


def _record(folder: Path, **changes: object) -> None:
    record = {"title": "Title", "parser": "pdf-1", "layout": TREE, "omissions": [], "properties": {}} | changes
    (folder / RECORD_FILE).write_text(json.dumps(record))


def test_a_document_arrives_as_it_was_sent(tmp_path: Path) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    assert read_document(tmp_path, 1_000) == DOCUMENT


def test_properties_arrive_on_one_line_and_cut(tmp_path: Path) -> None:
    said = {
        "mail_subject": " a\n\u202eb ",
        "mail_recipients": "x" * 9_000,
        "mail_sender": " ",
        "mail_date": "2026-02-05",
    }
    write_document(replace(DOCUMENT, properties=said), tmp_path, 1_000)
    assert read_document(tmp_path, 1_000).properties == {
        "mail_subject": "a b",
        "mail_recipients": "x" * 8_000,
        "mail_date": "2026-02-05 00:00:00",
    }


def test_a_text_past_the_limit_is_neither_sent_nor_read(tmp_path: Path) -> None:
    document = ParsedDocument("x" * 100, None, "text-1")
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
        {"layout": {**TREE, "places": [["page", 1, 7, ""], ["page", 2, 0, ""]]}},
        {"layout": {**TREE, "places": [["page", 1, 99, ""]]}},
        {"properties": []},
        {"properties": {"other": "x"}},
        {"properties": {"mail_sender": 1}},
        {"properties": {"mail_date": "yesterday"}},
        {"layout": {**TREE, "places": [["page", 1, -1, ""]]}},
        {"layout": {**TREE, "places": [["page", 1, 0.5, ""]]}},
        {"layout": {**TREE, "places": [["cave", 1, 0, ""]]}},
        {"layout": {**TREE, "places": [["page", 1, 0]]}},
        {"layout": {**TREE, "headings": [[1, 0, 99, "x"]]}},
        {"layout": {**TREE, "headings": [[1, 0, 2, None]]}},
        {"layout": {**TREE, "tables": [[0, 5, 4]]}},
        {"layout": {**TREE, "tables": [[0, 1]]}},
        {"layout": {"places": []}},
        {"layout": None},
        {"omissions": [["image", "many", ""]]},
        {"omissions": [["image"]]},
        {"omissions": [["dragon", 1, ""]]},
        {"omissions": [["image", 1, ""]] * 200},
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


def _positions(*entries: tuple[int, int]) -> bytes:
    builder = PositionsBuilder()
    for start, end in entries:
        builder.add(start, end, Box(1, 0, 0, 1, 1))
    return builder.build().to_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"positions-1\n",
        b"positions-1\nnothing packed",
        _positions((0, 3), (2, 4)),
        _positions((3, 4), (0, 1)),
        _positions((0, 99)),
        _positions((0, 3))[:-4],
    ],
)
def test_positions_of_another_shape_are_refused(tmp_path: Path, content: bytes) -> None:
    write_document(DOCUMENT, tmp_path, 1_000)
    (tmp_path / POSITIONS_FILE).write_bytes(content)
    with pytest.raises(HandoverError):
        read_document(tmp_path, 1_000)
