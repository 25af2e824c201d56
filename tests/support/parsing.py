"""Files on their way through a parser, as uploads go."""

import tempfile
from pathlib import Path

from ingest.parsing.isolation.child import parse_into_folder
from ingest.parsing.isolation.handover import read_document
from ingest.parsing.registry import get_parser
from ingest.parsing.sniff import sniff_file_type
from ingest.parsing.types import DEFAULT_LIMITS, ParsedDocument, Parser


class ParserHere:
    """The child's code in this process, for unit tests: without the limits, which would outlive the document."""

    def parse(self, path: Path, media_type: str, *, name: str, **more: object) -> ParsedDocument:
        with tempfile.TemporaryDirectory() as folder:
            failure = parse_into_folder(path, media_type, Path(folder), DEFAULT_LIMITS, get_parser)
            assert not failure, f"{name}: {failure}"
            return read_document(Path(folder), DEFAULT_LIMITS.text_bytes)


def parse(parser: Parser, folder: Path, name: str, content: bytes) -> ParsedDocument:
    """As an upload goes: sniffed first, then parsed."""
    path = folder / name
    path.write_bytes(content)
    with path.open("rb") as file:
        media_type = sniff_file_type(file, name, None)
    return parser.parse(path, media_type, name=name)


def parse_as(parser: Parser, folder: Path, media_type: str, content: bytes = b"any") -> ParsedDocument:
    path = folder / "file"
    path.write_bytes(content)
    return parser.parse(path, media_type, name="file")


def assert_still_parses(parser: Parser, folder: Path) -> None:
    assert parse(parser, folder, "good.md", b"# Good\n\nAs ever.").text == "# Good\n\nAs ever."
