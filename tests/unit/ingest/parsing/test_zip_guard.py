import zipfile
from pathlib import Path

import pytest

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError, ParserLimitError
from ingest.parsing.zip_guard import DEFAULT_ZIP_LIMITS, ZipLimits, open_zip, read_entry
from ingest.storage.errors import LeadlineError
from tests.support.zip_files import zipped

_SMALL = ZipLimits(entries=3, total_bytes=50_000, ratio=10, ratio_free_bytes=1_000)


def _check(path: Path, limits: ZipLimits = DEFAULT_ZIP_LIMITS) -> None:
    with open_zip(path, limits):
        pass


def _file(folder: Path, content: bytes) -> Path:
    path = folder / "file.zip"
    path.write_bytes(content)
    return path


def test_a_sound_archive_is_opened(tmp_path: Path) -> None:
    with open_zip(_file(tmp_path, zipped({"a": "x" * 900, "b": "words"})), _SMALL) as archive:
        assert read_entry(archive, "b") == b"words"
        with pytest.raises(DamagedDocumentError, match="part c is missing"):
            read_entry(archive, "c")


@pytest.mark.parametrize(
    ("parts", "stored", "words"),
    [
        (dict.fromkeys("abcd", ""), False, "has 4 parts"),
        (dict.fromkeys("ab", "x" * 30_000), True, "unpacks to 60,000 bytes"),
        ({"a": "x" * 20_000}, False, "more than 10 times"),
    ],
)
def test_an_archive_beyond_a_limit_is_refused(tmp_path: Path, parts: dict[str, str], stored: bool, words: str) -> None:
    content = zipped(parts, zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED)
    with pytest.raises(ParserLimitError, match=words):
        _check(_file(tmp_path, content), _SMALL)


def test_an_archive_with_a_password_says_so(tmp_path: Path) -> None:
    content = bytearray(zipped({"a": "words"}))
    content[content.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(EncryptedDocumentError):
        _check(_file(tmp_path, bytes(content)))


def test_entries_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    content = bytearray(zipped({"a": bytes(range(256)) * 4, "b": ""}, zipfile.ZIP_STORED))
    first = content.index(b"PK\x01\x02")
    second = content.index(b"PK\x01\x02", first + 4)
    content[second + 16 : second + 28] = content[first + 16 : first + 28]  # checksum and sizes
    content[second + 42 : second + 46] = content[first + 42 : first + 46]  # where it starts
    with pytest.raises(DamagedDocumentError, match="overlap"):
        _check(_file(tmp_path, bytes(content)))


def test_every_truncation_of_an_archive_is_damage(tmp_path: Path) -> None:
    whole = zipped({"a": "some words", "b": "more"})
    for length in range(len(whole)):
        with pytest.raises(DamagedDocumentError):
            _check(_file(tmp_path, whole[:length]))


def test_any_changed_byte_gives_the_content_or_a_known_error(tmp_path: Path) -> None:
    whole = zipped({"a": "some words"})
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 0xFF
        try:
            with open_zip(_file(tmp_path, bytes(changed))) as archive:
                assert read_entry(archive, "a") == b"some words"
        except LeadlineError:
            continue
