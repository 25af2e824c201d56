"""Messages and mailboxes: who wrote what to whom, and their attachments as entries."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from ingest.parsing.containers import MBOX
from ingest.parsing.errors import ParserLimitError
from ingest.parsing.mail import unpack_eml, unpack_mbox
from ingest.parsing.ocr.allowance import RecognitionNeededError
from ingest.parsing.outlook import unpack_msg
from ingest.parsing.sniff import TEXT, sniff_file_type, sniff_media_type
from ingest.parsing.types import EntryLimits, ParsedDocument
from ingest.storage.tables.types import EML_MEDIA_TYPE, MSG_MEDIA_TYPE
from ingest.storage.texts.layout import OmissionKind
from tests.support.containers import mailbox_of, message
from tests.support.outlook_files import outlook_message, outlook_message_in


def parse(folder: Path, content: bytes) -> ParsedDocument:
    path = folder / "mail.eml"
    path.write_bytes(content)
    return unpack_eml(path, folder, EntryLimits())


def test_the_title_says_subject_sender_and_day_and_the_head_says_who_and_when(tmp_path: Path) -> None:
    document = parse(tmp_path, message("Tides", "The flood comes at six.\n> Quoted line.\n"))
    assert document.title == "Tides (Ann Poe, 2026-11-28)"
    assert document.text == (
        "# Tides\n\nFrom: Ann Poe <ann@example.org>\nTo: bob@example.org\nDate: Sat, 28 Nov 2026 10:00:00 +0000\n\n"
        "The flood comes at six.\n> Quoted line."
    )


def test_encoded_words_and_other_charsets_are_decoded(tmp_path: Path) -> None:
    raw = (
        b"From: =?utf-8?q?J=C3=BCrgen?= <j@example.org>\nDate: x\nSubject: =?iso-8859-1?q?Gr=FC=DFe?=\n"
        b"Content-Type: text/plain; charset=koi8-r\n\n\xf0\xd2\xc9\xd7\xc5\xd4\n"
    )
    document = parse(tmp_path, raw)
    attached = b"Content-Disposition: attachment; filename*=utf-8''%C3%BC.txt\nX: y"
    named = raw.replace(b"Content-Type: text/plain", attached)
    assert document.title == "Grüße (Jürgen)"
    assert [entry.path for entry in parse(tmp_path, named).entries] == ["ü.txt"]
    encoded = named.replace(b"filename*=utf-8''%C3%BC.txt", b'filename="=?utf-8?q?=C3=A4.txt?="')
    assert [entry.path for entry in parse(tmp_path, encoded).entries] == ["ä.txt"]
    assert "From: Jürgen <j@example.org>" in document.text
    assert document.text.endswith("Привет")


@pytest.mark.parametrize(
    ("head", "title", "wanted"),
    [
        (
            'From: "Poe, Ann" <Ann@Example.org>\nTo: Bob <b@x.org>\nCc: c@x.org\nSubject: Re: Tides\n'
            "Date: Sun, 1 Feb 2026 00:30:00 +0100",
            "Re: Tides (Poe, Ann, 2026-02-01)",
            {
                "mail_sender": "Poe, Ann",
                "mail_sender_address": "ann@example.org",
                "mail_recipients": "Bob <b@x.org>, c@x.org",
                "mail_date": "2026-02-01 00:30:00",
                "mail_date_utc": "2026-01-31 23:30:00",
                "mail_subject": "Re: Tides",
            },
        ),
        (
            "From: ann@example.org\nSubject: Tides\nDate: never",
            "Tides (ann@example.org)",
            {"mail_sender": "ann@example.org", "mail_sender_address": "ann@example.org", "mail_subject": "Tides"},
        ),
        (
            "From: <ann@example.org>\nMessage-ID: <1@x>",
            "ann@example.org",
            {"mail_sender": "ann@example.org", "mail_sender_address": "ann@example.org"},
        ),
        ("Subject: Tides\nMessage-ID: <1@x>", "Tides", {"mail_subject": "Tides"}),
        (
            f"From: Ann\nSubject: {'long ' * 100}",
            f"{('long ' * 40).rstrip()} (Ann)",
            {"mail_sender": "Ann", "mail_subject": ("long " * 100).rstrip()},
        ),
    ],
)
def test_the_head_is_told_as_properties_and_what_it_lacks_is_left_out(
    tmp_path: Path, head: str, title: str, wanted: dict[str, str]
) -> None:
    document = parse(tmp_path, f"{head}\n\nThe flood comes at six.\n".encode())
    assert (document.title, document.properties) == (title, wanted)


def test_of_two_bodies_the_plain_one_is_taken_unless_the_other_says_more(tmp_path: Path) -> None:
    html = "<p>The flood comes at six.</p><table><tr><th>Port<th>Hour<tr><td>Hull<td>6</table>"
    assert "| Hull | 6 |" in parse(tmp_path, message(body="See the HTML.", html=html)).text
    plain = "The flood comes at six.\nPort Hour\nHull 6"
    assert "| Hull" not in parse(tmp_path, message(body=plain, html=html)).text


def test_attachments_are_entries_and_an_attached_message_is_one(tmp_path: Path) -> None:
    inner = message("Inner")
    raw = message(attachments={"a.txt": b"Text.", "b.exe": b"MZ\x90\x00\x03" + bytes(40)})
    boundary = raw.split(b'boundary="')[1].split(b'"')[0]
    part = b"--" + boundary + b"\nContent-Type: message/rfc822\n\n" + inner + b"\n--" + boundary + b"--"
    document = parse(tmp_path, raw.replace(b"--" + boundary + b"--", part))
    assert [(entry.path, entry.media_type) for entry in document.entries] == [
        ("a.txt", TEXT),
        ("Inner.eml", EML_MEDIA_TYPE),
    ]
    assert [omission.count for omission in document.omissions] == [1]


@pytest.mark.parametrize(
    ("head", "body", "name"),
    [
        ('application/x-pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"', "MIAG", "smime.p7m"),
        ("multipart/encrypted; boundary=b", "--b\n\nVersion: 1\n--b--", "the message's body"),
    ],
)
def test_the_body_of_a_sealed_message_is_said_to_be_encrypted(tmp_path: Path, head: str, body: str, name: str) -> None:
    document = parse(tmp_path, f"Subject: Tides\nContent-Type: {head}\n\n{body}\n".encode())
    assert document.text == f"# Tides\n\nAttachments:\n\n- {name}: encrypted"
    assert [each.kind for each in document.omissions] == [OmissionKind.ENTRY]


def test_a_header_that_python_cannot_read_is_taken_as_it_stands(tmp_path: Path) -> None:
    raw = b"From: a\xff\xfeb@example.org\nDate: never\nSubject: =?broken?x?=?=\nTo: (((((\n\nBody.\n"
    document = parse(tmp_path, raw)
    assert "Body." in document.text
    assert document.title is not None


def test_parts_beyond_all_measure_are_refused(tmp_path: Path) -> None:
    head = b"From: a@example.org\nDate: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
    with pytest.raises(ParserLimitError, match="parts"):
        parse(tmp_path, head + b"--b\n\nx\n" * 10_500 + b"--b--\n")


def test_an_outlook_message_is_read_as_others_are(tmp_path: Path) -> None:
    path = tmp_path / "mail.msg"
    path.write_bytes(outlook_message("Tides", "The flood comes at six.", {"a.txt": b"Words."}))
    with path.open("rb") as file:
        assert sniff_file_type(file, "unnamed", None) == MSG_MEDIA_TYPE
    document = unpack_msg(path, tmp_path, EntryLimits())
    assert document.title == "Tides (Ann Poe)"
    assert document.properties == {"mail_sender": "Ann Poe", "mail_subject": "Tides"}
    assert "The flood comes at six." in document.text
    assert [entry.path for entry in document.entries] == ["a.txt"]


@pytest.mark.parametrize(
    ("code_page", "codec", "words"),
    [
        (950, "cp950", "潮汐"),
        (936, "gbk", "朱镕基"),
        (932, "cp932", "①髙潮"),
        (949, "cp949", "똠방각하"),
        (874, "cp874", "กระแสน้ำ"),
        (20127, "cp1252", "Gezeiten für Köln"),
    ],
)
def test_an_outlook_message_in_a_code_page_of_windows_is_read(
    tmp_path: Path, code_page: int, codec: str, words: str
) -> None:
    path = tmp_path / "mail.msg"
    path.write_bytes(outlook_message_in(code_page, codec, words, f"Body: {words}"))
    document = unpack_msg(path, tmp_path, EntryLimits())
    assert document.title == f"{words} (Ann Poe)"
    assert document.text.endswith(f"Body: {words}")


def test_a_message_inside_an_outlook_message_is_a_document_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "mail.msg"
    path.write_bytes(outlook_message("Tides", "See below.", {"a.txt": b"Words."}, {"Ebb/and flow": "It ebbs at noon."}))
    document = unpack_msg(path, tmp_path, EntryLimits())
    assert [(each.path, each.media_type) for each in document.entries] == [
        ("a.txt", TEXT),
        ("Ebb-and flow.eml", EML_MEDIA_TYPE),
    ]
    assert not document.omissions
    (tmp_path / "inner").mkdir()
    inner = unpack_eml(tmp_path / document.entries[1].file, tmp_path / "inner", EntryLimits())
    assert inner.title == "Ebb/and flow (Bob Poe)"
    assert "Bob Poe" in inner.text
    assert "It ebbs at noon." in inner.text
    assert [each.path for each in inner.entries] == ["inner.txt"]


def _picture(width: int, height: int, text: str = "") -> bytes:
    image = Image.new("RGB", (width, height), "white")
    if text:
        ImageDraw.Draw(image).text((40, 40), text, fill="black", font_size=40)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def test_small_pictures_of_a_message_are_told_without_reading_any(tmp_path: Path) -> None:
    """A logo that the message shows may be larger than what is attached, and nothing is a failed entry."""
    raw = message(attachments={"logo.png": _picture(200, 60, "Mill")})
    shown = raw.replace(b'filename="logo.png"', b'filename="logo.png"\nContent-ID: <logo>')
    document = parse(tmp_path, shown)
    assert not document.entries
    assert [(each.kind, each.count) for each in document.omissions] == [(OmissionKind.IMAGE, 1)]
    with pytest.raises(RecognitionNeededError):
        parse(tmp_path, raw)


def test_each_message_of_a_mailbox_is_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "box"
    path.write_bytes(mailbox_of(message("One"), message("Two", "From the sea.")))
    document = unpack_mbox(path, tmp_path, EntryLimits())
    assert [entry.path for entry in document.entries] == ["00001 One.eml", "00002 Two.eml"]
    assert {entry.media_type for entry in document.entries} == {EML_MEDIA_TYPE}
    assert document.text == "A mailbox of 2 messages."


@pytest.mark.parametrize(
    ("content", "name", "kind"),
    [
        (message(), "unnamed", EML_MEDIA_TYPE),
        (mailbox_of(message()), "unnamed", MBOX),
        (b"From: a\nTo: b\n\nShort.", "a.eml", EML_MEDIA_TYPE),
        (b"Date: today\nFrom: me\n\nA letter that begins like a message.", "letter.txt", TEXT),
        (b"From the sea comes Mon, and\nThis: is text.", "a.txt", TEXT),
    ],
)
def test_messages_are_told_by_their_header_fields(content: bytes, name: str, kind: str) -> None:
    assert sniff_media_type(content, name, None) == kind
