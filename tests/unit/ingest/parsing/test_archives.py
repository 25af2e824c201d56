"""ZIP archives: their entries are taken within bounds, and whatever is not taken is said."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from ingest.parsing.archives import unpack_zip
from ingest.parsing.entries import clean_path
from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, NoTextError, ParserLimitError
from ingest.parsing.types import EntryLimits, ParsedDocument
from tests.support.containers import zip_of


def unpack(folder: Path, content: bytes, room: EntryLimits | None = None) -> ParsedDocument:
    path = folder / "archive.zip"
    path.write_bytes(content)
    return unpack_zip(path, folder, room or EntryLimits())


def special(name: str, mode: int, content: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, content)
        archive.writestr("note.txt", "A note.")
    return made.getvalue()


def test_files_are_written_under_names_of_ours_whatever_they_are_called(tmp_path: Path) -> None:
    found = unpack(tmp_path, zip_of({"../../etc/cron.d/x.txt": "a", "/abs.txt": "b", "C:\\win.txt": "c"})).entries
    assert [entry.path for entry in found] == ["etc/cron.d/x.txt", "abs.txt", "win.txt"]
    assert [entry.file for entry in found] == ["entry-0", "entry-1", "entry-2"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive.zip", "entry-0", "entry-1", "entry-2"]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a/./b//c.txt", "a/b/c.txt"),
        ("..", "unnamed"),
        ("\u202etxt.exe", "txt.exe"),
        ("a\x00b\n.txt", "ab.txt"),
        ("x" * 900 + ".txt", "x" * 200),
        (" . / .. /d.txt", "d.txt"),
    ],
)
def test_a_path_is_cleaned_and_never_empty(name: str, path: str) -> None:
    assert clean_path(name) == path
    assert clean_path(clean_path(name)) == path


def test_two_entries_of_one_name_have_two_paths(tmp_path: Path) -> None:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", "one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.txt", "two")
    found = unpack(tmp_path, made.getvalue()).entries
    assert [entry.path for entry in found] == ["a.txt", "a (2).txt"]


def test_links_and_devices_are_not_followed(tmp_path: Path) -> None:
    for mode in (stat.S_IFLNK | 0o777, stat.S_IFCHR | 0o600):
        document = unpack(tmp_path, special("link.txt", mode, "/etc/passwd"))
        assert [entry.path for entry in document.entries] == ["note.txt"]
        assert [omission.count for omission in document.omissions] == [1]


def test_an_entry_that_inflates_beyond_reason_is_left_out(tmp_path: Path) -> None:
    room = EntryLimits(ratio=100, ratio_free_bytes=1000)
    document = unpack(tmp_path, zip_of({"bomb.txt": b"0" * 10_000_000, "note.txt": "A note."}), room)
    assert [entry.path for entry in document.entries] == ["note.txt"]
    assert "more than 100 times its size" in document.text
    assert (tmp_path / "entry-0").stat().st_size == len("A note.")


def test_no_more_entries_and_bytes_are_taken_than_there_is_room_for(tmp_path: Path) -> None:
    content = zip_of({f"{n}.txt": "x" * 100 for n in range(5)})
    few = unpack(tmp_path, content, EntryLimits(entries=2))
    assert (len(few.entries), few.omissions[0].count) == (2, 3)
    small = unpack(tmp_path, content, EntryLimits(total_bytes=250))
    assert (len(small.entries), small.omissions[0].count) == (2, 3)


def test_an_archive_of_nothing_that_can_be_taken_fails_and_says_why(tmp_path: Path) -> None:
    with pytest.raises(NoTextError, match="EXE file"):
        unpack(tmp_path, zip_of({"a.exe": b"MZ\x90\x00\x03" + bytes(100)}))
    with pytest.raises(NoTextError, match="empty"):
        unpack(tmp_path, zip_of({}))
    with pytest.raises(ParserLimitError, match="levels deep"):
        unpack(tmp_path, zip_of({"a.txt": "a"}), EntryLimits(levels=0))


def test_encrypted_entries_are_said_and_an_archive_of_none_else_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_of({"secret.txt": "Hidden."}))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + flags] |= 1
    with pytest.raises(EncryptedDocumentError):
        unpack(tmp_path, bytes(content))


def test_overlapping_entries_are_no_sound_archive(tmp_path: Path) -> None:
    content = bytearray(zip_of({f"{n}.txt": f"Number {n}." for n in range(3)}))
    at = content.index(b"PK\x01\x02")
    content[at + 20 : at + 24] = (10**6).to_bytes(4, "little")
    with pytest.raises(DamagedDocumentError, match="overlap"):
        unpack(tmp_path, bytes(content))


def test_an_entry_that_is_damaged_stops_no_other(tmp_path: Path) -> None:
    content = bytearray(zip_of({"bad.txt": "word " * 100, "good.txt": "Good."}))
    content[content.index(b"bad.txt") + 10] ^= 0xFF
    document = unpack(tmp_path, bytes(content))
    assert [entry.path for entry in document.entries] == ["good.txt"]
    assert document.text == "An archive of 2 files.\n\nNot taken:\n\n- bad.txt: damaged"
