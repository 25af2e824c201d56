"""Each word that was drawn stands once in the text, in the order it is read, and leads back to where it was drawn."""

from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase
from tempfile import TemporaryDirectory

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ingest.parsing.pdf import parse_pdf
from ingest.parsing.types import ParsedDocument
from ingest.storage.texts.positions import Box
from tests.support.drawn_pdfs import BOLD, Drawing, filled_lines, shown

_MARKUP = set("|-# \n")
_NEAR = 0.002  # of the page


@dataclass
class _Words:
    """Words that are all different, of letters alone."""

    draw: st.DrawFn
    count: int = 0

    def next(self) -> str:
        self.count += 1
        number, text = self.count, ""
        while number:
            number, letter = divmod(number, 16)
            text += ascii_lowercase[letter]
        return f"x{text}{'m' * self.draw(st.integers(0, 3))}q"  # none begins another

    def some(self, count: int) -> list[str]:
        return [self.next() for _ in range(count)]


@st.composite
def _drawings(draw: st.DrawFn) -> Drawing:
    """Pages of a heading, running text in columns, and a table with or without a grid."""
    crop = draw(st.sampled_from([None, (20.0, 30.0, 600.0, 780.0)]))
    drawing = Drawing(rotate=draw(st.sampled_from([0, 90, 180, 270])), crop=crop)
    words = _Words(draw)
    for number in range(draw(st.integers(1, 2))):
        if number:
            drawing.next_page()
        base = 740.0
        if draw(st.booleans()):
            drawing.line(" ".join(words.some(3)), 60, base, font=BOLD, size=16)
            base -= 30
        columns = draw(st.integers(1, 3))
        width = (492 - 24 * (columns - 1)) / columns
        lowest = base
        for column in range(columns):
            texts = filled_lines(words.some(draw(st.integers(60, 90))), width)
            lowest = min(lowest, drawing.lines(texts, 60 + column * (width + 24), base))
        _draw_table(draw, drawing, words, lowest - 30)
    return drawing


def _draw_table(draw: st.DrawFn, drawing: Drawing, words: _Words, top: float) -> None:
    columns, rows = draw(st.integers(2, 4)), draw(st.integers(3, 5))
    xs = [60 + 492 / columns * number for number in range(columns + 1)]
    if draw(st.booleans()):
        drawing.rules(xs, [top + 14 - 18 * number for number in range(rows + 1)])
    for row in range(rows):
        for column in range(columns - 1):
            drawing.line(words.next(), xs[column] + 4, top - 18 * row)
        drawing.right_aligned(words.next(), xs[-1] - 4, top - 18 * row)  # it is as wide as the columns above


def _parsed(drawing: Drawing) -> ParsedDocument:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "drawn.pdf"
        path.write_bytes(drawing.content())
        return parse_pdf(path)


@settings(max_examples=40, deadline=None, phases=[Phase.generate])
@given(_drawings())
def test_every_code_point_of_a_word_leads_back_to_where_it_was_drawn(drawing: Drawing) -> None:
    document = _parsed(drawing)
    text, at = document.text, 0
    covered = bytearray(len(text))
    for word in drawing.words:
        assert word.text in text[at:], (word, text[:at][-900:], text[at:][:50])  # in the order it was drawn
        at = text.index(word.text, at)
        ((start, end, box),) = document.positions.iter_positions_within(at, at + 1)
        assert (start, end) == (at, at + len(word.text))
        assert isinstance(box, Box)
        left, top, right, bottom = shown(word, rotate=drawing.rotate, crop=drawing.crop)
        assert box.place == word.page
        place = document.layout.find_place(at)
        assert place is not None
        assert place.number == word.page
        # The box holds what was drawn, and is no longer than it in the direction of the line.
        assert box.left <= left + _NEAR
        assert box.right >= right - _NEAR
        assert box.top <= top + _NEAR
        assert box.bottom >= bottom - _NEAR
        longer = (
            (box.bottom - box.top) - (bottom - top) if drawing.rotate % 180 else (box.right - box.left) - (right - left)
        )
        assert longer < 2 * _NEAR
        at = end
        covered[start:end] = b"\1" * (end - start)
    assert all(known or char in _MARKUP for char, known in zip(text, covered, strict=True))
    assert len(document.positions) == len(drawing.words)
