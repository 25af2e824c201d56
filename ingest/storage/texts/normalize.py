"""Normalizes text to the form in which the product counts code points.

Characters that models can see but readers cannot are dropped: controls, bidirectional overrides, tags, fillers. The
exceptions are U+200C and U+200D, which shape words in Arabic and Indic scripts and join emoji. They are kept between
two characters of those scripts or two pictographs. Elsewhere they serve only to hide or split a word, so they are
dropped.
"""

import re
import unicodedata
from collections.abc import Iterator

_MAX_TITLE_CHARS = 300
# Maximum number of passes that remove useless joiners. Real text needs at most two passes. If a text needs more than
# the maximum, all of the text's joiners are dropped.
_JOINER_PASSES = 4

_ASCII: dict[int, str | None] = {
    **{code: None for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n"},
    **dict.fromkeys(map(ord, "\r\v\f"), "\n"),
}
_LINE_ENDS = "\r\v\f\x85\u2028\u2029"
_SURROGATES = "\ud800-\udfff"
_INVISIBLE = "".join(
    (
        "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f",  # Control characters.
        "\xad\u034f",  # Soft hyphen and grapheme joiner.
        "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069",  # Text direction marks.
        "\u200b\u2060-\u2065\u206a-\u206f\ufeff",  # Zero-width spaces and operators, and the byte order mark.
        "\u115f\u1160\u17b4\u17b5\u3164\uffa0",  # Filler characters.
        "\ufff0-\ufffb\ufffe\uffff",  # Annotation marks and noncharacters.
        "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a",  # Marks for shorthand and music formatting.
        "\U000e0000-\U000e0fff",  # Tags and ideographic variation selectors, which can encode hidden bytes.
    )
)
# Unicode ranges of characters that joiners may connect: Arabic to Vedic without Hangul Jamo, arrows and symbols without
# the two brackets that NFC replaces, and emoji.
_JOINING = (
    "\u0600-\u10ff\u1200-\u1cff\u2190-\u2328\u232b-\u2bff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00011fff\U0001f000-\U0001faff"
)
_SHAPING = "\u200c\u200d\ufe00-\ufe0f"

_suspect = re.compile(f"[{_LINE_ENDS}{_INVISIBLE}{_SURROGATES}{_SHAPING}]")
_shaping = re.compile(f"[{_SHAPING}]")
_line_ends = re.compile(f"[{_LINE_ENDS}]")
_invisible = re.compile(f"[{_INVISIBLE}]+")
_surrogates = re.compile(f"[{_SURROGATES}]")
_stray_joiners = re.compile(f"(?<![{_JOINING}\ufe00-\ufe0f])[\u200c\u200d]|[\u200c\u200d](?![{_JOINING}])")
_joiners = re.compile("[\u200c\u200d]")
_second_selectors = re.compile("(?<=[\ufe00-\ufe0f])[\ufe00-\ufe0f]+")
# Characters with a second form that a variation selector can select: keys, symbols, ideographs, emoji and a few
# letters.
_SELECTABLE = "0-9#*\xa9\xae\u1000-\u109f\u203c-\u33ff\u3400-\u9fff\ua840-\ua87f\uf900-\ufaff\U0001f000-\U0003ffff"
_stray_selectors = re.compile(f"(?<![{_SELECTABLE}])[\ufe00-\ufe0f]")
_controls: dict[int, None] = dict.fromkeys(code for code in (*range(0x20), 0x7F) if chr(code) not in "\t\n\r\v\f")
_blank_lines = re.compile(r"\n{4,}")
_TOO_MANY_LINE_ENDS = "\n" * 4


def normalize(text: str) -> str:
    r"""Normalize a text to NFC, with `\n` line ends and without invisible characters. This is idempotent.

    A carriage return, CR LF, vertical tab, form feed, U+0085, U+2028 or U+2029 becomes `\n`. Lone surrogates become
    U+FFFD. White space at line ends is removed, as are blank lines at both ends of the text. Elsewhere, at most two
    consecutive blank lines are kept.
    """
    text = text.replace("\r\n", "\n")
    text = text.translate(_ASCII) if text.isascii() else _normalize_unicode(text)
    text = "".join(_iter_stripped_blocks(text))
    if _TOO_MANY_LINE_ENDS in text:
        text = _blank_lines.sub("\n\n\n", text)
    return text.strip("\n")


def _iter_stripped_blocks(text: str, block_size: int = 1 << 20) -> Iterator[str]:
    """Yield a text without white space at line ends, one block of lines at a time.

    Processing blocks limits the number of objects in memory.
    """
    at = 0
    while at < len(text):
        end = text.find("\n", at + block_size) + 1 or len(text)
        yield "\n".join([line.rstrip() for line in text[at:end].split("\n")])
        at = end


def count_invisible_characters(text: str) -> int:
    """Count the invisible characters that `normalize` removes, except joiners."""
    if text.isascii():
        return len(text) - len(text.translate(_controls))
    return sum(len(run) for run in _invisible.findall(text))


def normalize_title(text: str | None) -> str | None:
    """Reduce a title to one line of at most 300 characters. Returns None if nothing remains."""
    return " ".join(normalize(text or "").split())[:_MAX_TITLE_CHARS].rstrip() or None


def remove_invisible_characters(text: str) -> str:
    """Remove the characters that a reader cannot see, and change no others, not even line ends. This is idempotent.

    The function is stricter than `normalize`, which keeps all variation selectors. A series of them can encode a hidden
    text.
    """
    if text.isascii():
        return text.translate(_controls)
    if not _suspect.search(text):
        return text
    text = _surrogates.sub("\ufffd", _invisible.sub("", text))
    return _stray_joiners.sub("", _stray_selectors.sub("", text))


def is_invisible_character(character: str) -> bool:
    """Return whether `remove_invisible` may remove a character."""
    return _invisible.match(character) is not None or _shaping.match(character) is not None


def _normalize_unicode(text: str) -> str:
    if not _suspect.search(text):
        return unicodedata.normalize("NFC", text)
    text = _line_ends.sub("\n", text)
    text = _invisible.sub("", text)
    text = unicodedata.normalize("NFC", _surrogates.sub("\ufffd", text))
    if not _shaping.search(text):
        return text
    # After a joiner is removed, the characters next to it may compose or change their order ("e", joiner, acute). Then
    # another joiner may become useless.
    for _ in range(_JOINER_PASSES):
        visible = _compose_without_joiners(_stray_joiners, text)
        if visible == text:
            return text
        text = visible
    return _compose_without_joiners(_joiners, text)


def _compose_without_joiners(joiners: re.Pattern[str], text: str) -> str:
    return unicodedata.normalize("NFC", _second_selectors.sub("", joiners.sub("", text)))
