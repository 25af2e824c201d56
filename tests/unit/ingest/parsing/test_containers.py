import struct
import zipfile
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.parsing.containers import OLE, ZIP, ZIPPED_DOCUMENT, detect_container_type
from ingest.parsing.errors import UnsupportedTypeError
from ingest.parsing.sniff import sniff_container_type, sniff_file_type
from tests.support.zip_files import ole, zipped

_OFFICE = "application/vnd.openxmlformats-officedocument."
_ODF = "application/vnd.oasis.opendocument."


def _content_types(main: str) -> str:
    return (
        f'<Types><Default Extension="xlsx" ContentType="{_OFFICE}spreadsheetml.sheet"/>'
        f'<Override PartName="/main.xml" ContentType="{main}"/></Types>'
    )


@pytest.mark.parametrize(
    ("main", "media_type"),
    [
        (f"{_OFFICE}wordprocessingml.document.main+xml", f"{_OFFICE}wordprocessingml.document"),
        (f"{_OFFICE}wordprocessingml.template.main+xml", f"{_OFFICE}wordprocessingml.document"),
        ("application/vnd.ms-word.document.macroEnabled.main+xml", f"{_OFFICE}wordprocessingml.document"),
        (f"{_OFFICE}presentationml.presentation.main+xml", f"{_OFFICE}presentationml.presentation"),
        (f"{_OFFICE}presentationml.slideshow.main+xml", f"{_OFFICE}presentationml.presentation"),
        ("application/vnd.ms-powerpoint.slideshow.macroEnabled.main+xml", f"{_OFFICE}presentationml.presentation"),
        (f"{_OFFICE}spreadsheetml.sheet.main+xml", f"{_OFFICE}spreadsheetml.sheet"),
        ("application/vnd.ms-excel.sheet.macroEnabled.main+xml", f"{_OFFICE}spreadsheetml.sheet"),
        (
            "application/vnd.ms-excel.sheet.binary.macroEnabled.main",
            "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
        ),
        ("application/vnd.ms-visio.drawing.main+xml", ZIPPED_DOCUMENT),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_an_office_file_is_told_by_the_content_type_of_its_main_part(main: str, media_type: str, first: bool) -> None:
    parts: dict[str, str | bytes] = {
        "[Content_Types].xml": _content_types(main),
        "main.xml": "<x/>" * 5_000,
        "media/a.xlsx": b"PK",
    }
    content = zipped(parts if first else {name: parts[name] for name in reversed(parts)})
    assert detect_container_type(BytesIO(content)) == media_type


@pytest.mark.parametrize(
    ("parts", "media_type"),
    [
        ({"mimetype": f"{_ODF}text"}, f"{_ODF}text"),
        ({"content.xml": "<x/>", "mimetype": f"{_ODF}presentation-template"}, f"{_ODF}presentation"),
        ({"mimetype": f"{_ODF}spreadsheet\n"}, f"{_ODF}spreadsheet"),
        ({"mimetype": "application/epub+zip"}, "application/epub+zip"),
        ({"META-INF/container.xml": "<container/>"}, "application/epub+zip"),
        ({"mimetype": "application/x-epub", "META-INF/container.xml": "<container/>"}, "application/epub+zip"),
        ({"mimetype": f"{_ODF}graphics", "content.xml": "<x/>"}, ZIPPED_DOCUMENT),
        ({"mimetype": "application/zip", "a.txt": "a"}, ZIP),
        ({"mimetype": "text/plain", "a.txt": "a"}, ZIP),
        ({"word/document.xml": "<x/>"}, ZIP),
        ({}, None),
    ],
)
def test_open_documents_and_books_are_told_by_their_mimetype(
    parts: dict[str, str | bytes], media_type: str | None
) -> None:
    assert detect_container_type(BytesIO(zipped(parts))) == media_type


def test_a_zip_whose_end_is_in_the_64_bit_form_is_told() -> None:
    whole = zipped({"mimetype": f"{_ODF}text"})
    at = whole.rindex(b"PK\x05\x06")
    length, start = struct.unpack_from("<LL", whole, at + 12)
    end64 = struct.pack("<LQ2H2L4Q", 0x06064B50, 44, 45, 45, 0, 0, 1, 1, length, start)
    locator = struct.pack("<LLQL", 0x07064B50, 0, at, 1)
    end = whole[at : at + 12] + b"\xff" * 8 + whole[at + 20 :]
    content = whole[:at] + end64 + locator + end
    assert zipfile.ZipFile(BytesIO(content)).namelist() == ["mimetype"]
    assert detect_container_type(BytesIO(content)) == f"{_ODF}text"


@pytest.mark.parametrize(
    ("streams", "media_type"),
    [
        (("EncryptionInfo", "EncryptedPackage"), "application/x-ole-encrypted-package"),
        (("1Table", "Data", "CompObj", "ObjectPool", "WordDocument"), "application/msword"),
        (("Current User", "PowerPoint Document"), "application/vnd.ms-powerpoint"),
        (("Workbook",), "application/vnd.ms-excel"),
        (("Book",), "application/vnd.ms-excel"),
        (("WORKBOOK",), "application/vnd.ms-excel"),
        (("__nameid_version1.0", "__properties_version1.0"), "application/vnd.ms-outlook"),
        (("Contents",), OLE),
        ((), OLE),
    ],
)
def test_an_ole_file_is_told_by_the_streams_at_its_root(streams: tuple[str, ...], media_type: str) -> None:
    assert detect_container_type(BytesIO(ole(*streams))) == media_type


def test_an_ole_file_whose_directory_is_past_the_sectors_that_its_header_lists_is_told_too() -> None:
    directory = 109 * 128  # as far as the header's 109 sectors of the allocation table reach
    content = bytearray(ole("WordDocument").ljust(512 * (directory + 1), b"\0"))
    struct.pack_into("<L", content, 48, directory)
    struct.pack_into("<L", content, 68, directory + 1)
    content += content[1024:1536]
    content += struct.pack("<128L", directory + 2, *[0xFFFFFFFF] * 127)
    content += struct.pack("<128L", 0xFFFFFFFE, *[0xFFFFFFFF] * 127)
    assert detect_container_type(BytesIO(content)) == "application/msword"
    struct.pack_into("<L", content, 68, 0xFFFFFFFE)
    assert detect_container_type(BytesIO(content)) == OLE


def test_a_directory_that_runs_in_circles_ends() -> None:
    content = bytearray(ole("Contents"))
    content[512 + 4 : 512 + 8] = (1).to_bytes(4, "little")  # the directory's sector follows itself
    content[1024 + 128 + 68 : 1024 + 128 + 72] = (1).to_bytes(4, "little")  # the stream is its own sibling
    assert detect_container_type(BytesIO(bytes(content))) == OLE


@given(st.binary(max_size=3_000), st.integers(0, 3_000), st.booleans())
def test_a_broken_container_is_of_a_known_type_or_refused(noise: bytes, at: int, is_zip: bool) -> None:
    whole = bytearray(zipped({"[Content_Types].xml": _content_types("x")}) if is_zip else ole("WordDocument"))
    whole[at : at + len(noise)] = noise
    kind = detect_container_type(BytesIO(bytes(whole)))
    assert kind is None or "/" in kind


@pytest.mark.parametrize(
    ("content", "words", "advice"),
    [
        (ole("WordDocument"), r"an old Word document \(\.doc\)", "docx"),
        (ole("PowerPoint Document"), r"an old PowerPoint presentation \(\.ppt\)", "pptx"),
        (ole("Contents"), "an OLE file", "PDF"),
        (zipped({"mimetype": f"{_ODF}graphics"}), "a zipped document", "PDF"),
    ],
)
def test_a_container_that_is_not_read_is_refused_with_what_to_do(content: bytes, words: str, advice: str) -> None:
    with pytest.raises(UnsupportedTypeError, match=words) as raised:
        sniff_container_type(BytesIO(content))
    assert advice in raised.value.hint


def test_a_file_that_is_no_container_is_told_by_its_head() -> None:
    assert sniff_file_type(BytesIO(b"# Title"), "a.md", None) == "text/markdown"
