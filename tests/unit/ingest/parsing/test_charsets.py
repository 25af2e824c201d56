import pytest

from ingest.parsing.charsets import HEAD_BYTES, decode_text, has_binary_content, looks_like_text, repair_mojibake

_RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая семья несчастлива по-своему. "
_JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"
_CHINESE = "道可道，非常道。名可名，非常名。无名天地之始；有名万物之母。"
_KOREAN = "모든 행복한 가정은 서로 닮았고 불행한 가정은 제각각 나름으로 불행하다. "
_FRENCH = "Les élèves étaient déjà arrivés à l’école, où le maître les attendait. "


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_unicode_is_read_with_and_without_its_mark(charset: str) -> None:
    assert decode_text((_RUSSIAN + "😀").encode(charset)) == _RUSSIAN + "😀"


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        (_FRENCH, "cp1252"),
        ("café", "latin-1"),
        ("It’s “quoted” – once.", "cp1252"),
        (_RUSSIAN, "cp1251"),
        (_RUSSIAN, "koi8-r"),
        (_JAPANESE, "shift_jis"),
        (_CHINESE, "gb18030"),
        (_KOREAN, "euc-kr"),
    ],
)
def test_older_character_sets_are_told_apart(text: str, charset: str) -> None:
    assert decode_text((text * 3).encode(charset)) == text * 3


def test_a_long_text_is_told_by_a_part_of_it() -> None:
    text = "ASCII first.\n" * 10_000 + (_JAPANESE * 10 + "\n") * 500
    assert decode_text(text.encode("shift_jis")) == text


def test_a_declared_character_set_beats_a_guess_but_not_the_bytes() -> None:
    assert decode_text("zażółć".encode("cp1250"), "windows-1250") == "zażółć"
    assert decode_text("zażółć".encode(), "windows-1250") == "zażółć"


@pytest.mark.parametrize("label", ["unicode_escape", "idna", "zip_codec", "rot13", "no-such", "utf-7"])
def test_a_codec_that_is_no_character_set_is_not_used(label: str) -> None:
    assert decode_text(b"caf\xe9 \\u0041 +AEE-", label) == "café \\u0041 +AEE-"


def test_a_few_broken_characters_do_not_turn_utf8_into_another_set() -> None:
    broken = _RUSSIAN.encode() * 20 + b"\xd0"
    assert decode_text(broken) == _RUSSIAN * 20 + "\ufffd"


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize(
    "text", ["Plain words.\n", _RUSSIAN, _JAPANESE + "\n" + _CHINESE, "tab\tand 😀 pair\r\n" * 3_000]
)
def test_utf16_is_read_without_its_mark(text: str, charset: str) -> None:
    content = text.encode(charset)
    assert looks_like_text(content[:HEAD_BYTES])
    assert decode_text(content) == text


@pytest.mark.parametrize(
    "content",
    [
        bytes(200),
        b"\x01\0\x02\0\x03\0" * 30,
        bytes(range(256)) * 4,
        b"\x7fELF\x02\x01\x01\0" * 20,
        b"ab\0\0cd\0\0" * 20,
    ],
)
def test_binary_is_not_taken_for_utf16(content: bytes) -> None:
    assert not looks_like_text(content)


def test_lines_of_another_character_set_among_utf8_are_read_in_theirs() -> None:
    lines = [_FRENCH.strip().encode()] * 20 + [_FRENCH.strip().encode("cp1252")] * 3
    assert decode_text(b"\n".join(lines)) == "\n".join([_FRENCH.strip()] * 23)


def test_a_line_cut_in_a_character_stays_utf8() -> None:
    lines = [_RUSSIAN.encode()] * 5 + [_RUSSIAN.encode()[:21]]
    assert decode_text(b"\n".join(lines)).splitlines()[-1].rstrip("\ufffd") == _RUSSIAN[:11].rstrip()


@pytest.mark.parametrize("charset", ["cp1252", "latin-1"])
def test_utf8_that_was_read_as_latin_is_repaired_and_nothing_else_is(charset: str) -> None:
    text = "Das ist schön. ¿Qué pasó? L’élève"
    assert repair_mojibake(text) == text
    spoilt = "Das ist schön.".encode().decode(charset)
    assert repair_mojibake(f"{spoilt}\nDas ist schön.") == "Das ist schön.\nDas ist schön."
    assert repair_mojibake("«Café”, he said. Ñ…") == "«Café”, he said. Ñ…"


def test_binary_is_told_from_text_at_the_head_and_further_on() -> None:
    assert looks_like_text(b"plain\ttext\r\n\x0c")
    assert not looks_like_text(b"with a \x00 nul")
    assert not looks_like_text(b"\x01\x02\x03\x04 mostly controls")
    assert not has_binary_content(b"long text " * 1_000 + b"\x00")
    assert has_binary_content(b"long text " * 10 + bytes(range(256)))
