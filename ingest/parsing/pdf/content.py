"""The content of a PDF page as drawn: words, rules and images, before they are put in reading order.

Coordinates are in points, measured from the top left corner of the displayed page (the rotated crop box).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ingest.parsing.pdf.constants import RULE_TOUCH_POINTS, SAME_RULE_POINTS
from ingest.storage.texts.positions import Box


@dataclass(slots=True)
class Word:
    """A word, or the part of a divided word on one line.

    `size` is the font size. `turn` is the number of counterclockwise quarter turns; 4 means slanted.
    """

    text: str
    left: float
    top: float
    right: float
    bottom: float
    size: float
    bold: bool
    turn: int
    box: Box

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    @property
    def height(self) -> float:
        return self.bottom - self.top


@dataclass(frozen=True, slots=True)
class Rule:
    """A drawn line from `start` to `end`; `at` is its position on the other axis. `level` means horizontal."""

    level: bool
    at: float
    start: float
    end: float


@dataclass
class PageContent:
    """The words, rules and images of one page.

    `image_share` is the fraction of the page covered by images. `image_box` is the bounding box of all images (left,
    bottom, right, top) in the page's own coordinates.
    """

    number: int
    width: float
    height: float
    words: list[Word] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    fills: list[Rule] = field(default_factory=list)  # Edges of filled boxes.
    images: int = 0
    image_share: float = 0.0
    image_box: tuple[float, float, float, float] | None = None
    hidden: int = 0  # Number of characters drawn invisibly or outside the page.
    unreadable: dict[str, int] = field(default_factory=dict)  # Number of unreadable characters of each font.
    comments: int = 0


@dataclass(frozen=True)
class RecognizedWord:
    """A word recognized by OCR, with its bounding box on the displayed page. See `Word` for `turn`."""

    text: str
    box: Box
    turn: int = 0


def rotate_upright(content: PageContent, quarter_turns: int) -> PageContent:
    """Return the page with only the words that have this `quarter_turns`, rotated upright together with its rules.

    Slanted words are not rotated. The `box` of a word does not change.
    """
    words = [word for word in content.words if word.turn == quarter_turns]
    if quarter_turns in (0, 4):
        return replace(
            content,
            words=words,
            rules=content.rules if quarter_turns == 0 else [],
            fills=content.fills if quarter_turns == 0 else [],
        )

    def rotate_box(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
        if quarter_turns == 1:
            return content.height - bottom, left, content.height - top, right
        if quarter_turns == 2:
            return content.width - right, content.height - bottom, content.width - left, content.height - top
        return top, content.width - right, bottom, content.width - left

    rules = []
    for rule in content.rules:
        level, at, start, end = rule.level, rule.at, rule.start, rule.end
        left, top, right, bottom = rotate_box(start, at, end, at) if level else rotate_box(at, start, at, end)
        now_level = level == (quarter_turns == 2)
        rules.append(Rule(True, top, left, right) if now_level else Rule(False, left, top, bottom))
    for word in words:
        word.left, word.top, word.right, word.bottom = rotate_box(word.left, word.top, word.right, word.bottom)
    across = quarter_turns % 2 == 1
    width, height = (content.height, content.width) if across else (content.width, content.height)
    return replace(content, width=width, height=height, words=words, rules=rules, fills=[])


def merge_rules(rules: Iterable[Rule]) -> list[Rule]:
    """Join rules that touch and are on the same line."""
    merged: list[Rule] = []
    for rule in sorted(rules, key=lambda each: (round(each.at), each.start)):
        last = merged[-1] if merged else None
        touches = last and rule.start <= last.end + RULE_TOUCH_POINTS and last.start <= rule.end + RULE_TOUCH_POINTS
        if last and touches and abs(last.at - rule.at) <= SAME_RULE_POINTS:
            merged[-1] = Rule(last.level, last.at, min(last.start, rule.start), max(last.end, rule.end))
        else:
            merged.append(rule)
    return merged


def place_words_in_box(
    content: PageContent, text: str, left: float, top: float, right: float, bottom: float
) -> list[Word]:
    """Build the words of a text that fills a box on a page. Each word gets a proportional part of the box."""
    left, right = max(0.0, left), min(content.width, right)
    top, bottom = max(0.0, top), min(content.height, bottom)
    lines = text.splitlines()
    high = (bottom - top) / max(1, len(lines))
    words = []
    for number, line in enumerate(lines):
        upper, wide, at = top + number * high, (right - left) / max(1, len(line)), 0
        for word in line.split():
            at = line.index(word, at)
            start, end, lower = left + at * wide, left + (at + len(word)) * wide, upper + high
            box = Box(
                content.number,
                start / content.width,
                upper / content.height,
                end / content.width,
                lower / content.height,
            )
            words.append(Word(word, start, upper, end, lower, round(0.8 * high * 2) / 2, False, 0, box))
            at += len(word)
    return words


def compute_median(numbers: Iterable[float], default: float = 0.0) -> float:
    """Return the median, or the higher of the two middle numbers."""
    ordered = sorted(numbers)
    return ordered[len(ordered) // 2] if ordered else default


def compute_median_font_size(words: Sequence[Word]) -> float:
    """Return the median font size, with each word weighted by its number of characters."""
    if words and all(word.size == words[0].size for word in words):
        return words[0].size
    sizes: dict[float, int] = {}
    for word in words:
        sizes[word.size] = sizes.get(word.size, 0) + len(word.text)
    half, seen = sum(sizes.values()) / 2, 0
    for size in sorted(sizes):
        seen += sizes[size]
        if seen >= half:
            return size
    return 10.0
