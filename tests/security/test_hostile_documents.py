"""Some 150 hostile or broken files: each ends in an error that says what to do, or as what can be read of it.

None may end as a document with nothing in it, take the parser's child along, or disturb another document.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.parsing.errors import ParseError
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.sniff import sniff_file_type
from ingest.parsing.types import EntryLimits, EntryReceiver, FoundEntry, ParserLimits
from ingest.storage.errors import InputError, LeadlineError, UploadError
from tests.support.hostile import CANARY, Hostile
from tests.support.hostile.all_files import HOSTILE_FILES
from tests.support.parsing import assert_still_parses

LIMITS = ParserLimits(memory_bytes=1_000_000_000, cpu_seconds=20, wall_seconds=60.0, text_bytes=100_000_000)
_HOST = Path("/etc/hostname").read_text().strip() if Path("/etc/hostname").exists() else "no such name"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[ParserSandbox]:
    with ParserSandbox(LIMITS) as sandbox:
        yield sandbox


def outcome(sandbox: ParserSandbox, file: Hostile, folder: Path) -> str | LeadlineError:
    """Return the text and the entries of a file that goes the way of an upload, or the error that it ends in."""
    path = folder / "file"
    with path.open("wb") as target:
        for block in file.blocks():
            target.write(block)
    taken: list[FoundEntry] = []
    try:
        if not path.stat().st_size:
            raise UploadError("The file is empty.", hint="Upload it again.")  # as the upload's end does
        with path.open("rb") as content:
            media_type = sniff_file_type(content, file.name, None)
        unpacking = EntryReceiver(EntryLimits(), lambda entry, _: taken.append(entry))
        document = sandbox.parse(path, media_type, name=file.name, entry_receiver=unpacking)
        return "\n".join((document.text, *(entry.path for entry in taken)))
    except (ParseError, UploadError, InputError) as error:
        return error


def assert_harmless(file: Hostile, found: str | LeadlineError) -> None:
    if isinstance(found, LeadlineError):
        assert found.hint, f"{file.label}: {found.detail}"
        assert not any(word in found.detail for word in ("Traceback", "/tmp/", "/work/"))
        return
    assert file.ready is not None, f"{file.label} became a document: {found[:200]!r}"
    assert found.strip()
    assert file.ready in found
    assert CANARY not in found
    assert _HOST not in found


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, id=file.label, marks=[pytest.mark.slow] if file.heavy else []) for file in HOSTILE_FILES],
)
def test_a_hostile_file_ends_in_an_error_that_helps_or_as_what_can_be_read_of_it(
    sandbox: ParserSandbox, tmp_path: Path, file: Hostile
) -> None:
    assert_harmless(file, outcome(sandbox, file, tmp_path))
    assert_still_parses(sandbox, tmp_path)
