"""PDF files whose every word was drawn at a place that is known, by reportlab."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pikepdf
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas

PLAIN, BOLD = "Helvetica", "Helvetica-Bold"
WIDTH, HEIGHT = 612.0, 792.0


@dataclass(frozen=True)
class Drawn:
    """A word with its page and where it was drawn: left and right end, and base line, from the bottom left."""

    text: str
    page: int
    left: float
    right: float
    base: float
    size: float


class Drawing:
    """Draws pages and notes each word. `rotate` and `crop` hold for all pages."""

    def __init__(self, *, rotate: int = 0, crop: tuple[float, float, float, float] | None = None) -> None:
        self._file = io.BytesIO()
        self.canvas = Canvas(self._file, pagesize=(WIDTH, HEIGHT), invariant=True)
        self.words: list[Drawn] = []
        self.page = 1
        self.rotate = rotate
        self.crop = crop

    def next_page(self) -> None:
        self.canvas.showPage()
        self.page += 1

    def line(self, text: str, left: float, base: float, *, font: str = PLAIN, size: float = 10.0) -> float:
        """Draw a line's words; returns its right end."""
        self.canvas.setFont(font, size)
        self.canvas.drawString(left, base, text)
        blank = stringWidth(" ", font, size)
        for word in text.split(" "):
            right = left + stringWidth(word, font, size)
            self.words.append(Drawn(word, self.page, left, right, base, size))
            left = right + blank
        return float(left - blank)

    def right_aligned(self, text: str, right: float, base: float, *, font: str = PLAIN, size: float = 10.0) -> None:
        self.line(text, right - stringWidth(text, font, size), base, font=font, size=size)

    def lines(self, texts: Iterable[str], left: float, base: float, *, leading: float = 12.0) -> float:
        """Draw lines below each other; returns the base line below them."""
        for text in texts:
            self.line(text, left, base)
            base -= leading
        return base

    def rules(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Draw a grid."""
        for x in xs:
            self.canvas.line(x, ys[0], x, ys[-1])
        for y in ys:
            self.canvas.line(xs[0], y, xs[-1], y)

    def content(self) -> bytes:
        self.canvas.showPage()
        self.canvas.save()
        if not self.rotate and not self.crop:
            return self._file.getvalue()
        turned = io.BytesIO()
        with pikepdf.open(self._file) as file:
            for page in file.pages:
                page.obj.Rotate = self.rotate
                page.obj.CropBox = pikepdf.Array([*(self.crop or (0, 0, WIDTH, HEIGHT))])
            file.save(turned)
        return turned.getvalue()


def shown(word: Drawn, *, rotate: int, crop: tuple[float, float, float, float] | None) -> tuple[float, ...]:
    """Return left, top, right and bottom of a drawn word on the page as it is shown, in shares of it.

    The word reaches from its base line to the height of a capital; its box must hold that.
    """
    left, bottom, right, top = crop or (0.0, 0.0, WIDTH, HEIGHT)
    corners = [(word.left, word.base), (word.right, word.base + 0.7 * word.size)]
    turned = []
    for x, y in corners:
        across, up = (x - left) / (right - left), (y - bottom) / (top - bottom)
        turned.append({0: (across, 1 - up), 90: (up, across), 180: (1 - across, up), 270: (1 - up, 1 - across)}[rotate])
    xs, ys = [x for x, _ in turned], [y for _, y in turned]
    return min(xs), min(ys), max(xs), max(ys)


def filled_lines(words: Iterable[str], width: float, *, font: str = PLAIN, size: float = 10.0) -> list[str]:
    """Break words into lines of a width."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and stringWidth(longer, font, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
