"""The text of one Word paragraph, with what hangs on it: notes, comments, text boxes, charts.

Insertions of tracked changes are read, and deletions are counted. Fields have the result that they last had.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.office.docx_styles import Styles
from ingest.parsing.office.equations import linear
from ingest.parsing.office.names import DGM, MC, PIC, W14, WP, C, M, O, R, V, W, is_on
from ingest.parsing.office.spacing import apart, spaced
from ingest.parsing.writer import DocumentWriter
from ingest.storage.texts.layout import OmissionKind

_VALUE = f"{W}val"
_hexadecimal = re.compile(r"[0-9A-Fa-f]{1,6}")
_PAGE_FIELDS = ("PAGE", "NUMPAGES", "SECTIONPAGES")
# Places in Wingdings whose characters exist elsewhere (Unicode 7.0, L2/11-196); the others have no code point to keep.
_SYMBOLS = {
    0xFC: "✓",
    0xFB: "✗",
    0xFE: "☑",
    0xFD: "☒",
    0xA8: "☐",
    0x6F: "☐",
    0xE0: "→",
    0xDF: "←",
    0xD8: "➢",
    0xA7: "▪",
}
DELETED = "deletions of tracked changes"
COMMENT, FOOTNOTE, ENDNOTE, TEXT_BOX, CHART, DIAGRAM = "comment", "footnote", "endnote", "text box", "chart", "diagram"


@dataclass(frozen=True)
class Attached:
    """Something that hangs on a paragraph: a note by its id, a chart or diagram by its relation, or a text box."""

    kind: str
    key: str = ""
    element: etree._Element | None = None


@dataclass
class Inline:
    """A paragraph's text and what hangs on it, in reading order."""

    parts: list[str] = field(default_factory=list)
    attached: list[Attached] = field(default_factory=list)

    @property
    def text(self) -> str:
        return spaced("".join(self.parts))


@dataclass
class _Field:
    """A field that is open: its instruction, and whether its result has begun."""

    instruction: str = ""
    has_result: bool = False

    @property
    def is_page_number(self) -> bool:
        return self.has_result and self.instruction.split(maxsplit=1)[:1] in [[name] for name in _PAGE_FIELDS]


class InlineReader:
    """Reads paragraphs one after the other; fields may go on from one to the next. Omissions are told the writer."""

    def __init__(self, styles: Styles, writer: DocumentWriter, note_marks: Callable[[Attached], str]) -> None:
        self._styles = styles
        self._writer = writer
        self._note_mark = note_marks
        self._fields: list[_Field] = []
        self._handlers: dict[str, Callable[[etree._Element, Inline], None]] = {
            f"{W}r": self._run,
            f"{W}t": self._text,
            f"{W}tab": _writes("\t"),
            f"{W}ptab": _writes("\t"),
            f"{W}cr": _writes("\n"),
            f"{W}br": self._break,
            f"{W}noBreakHyphen": _writes("\u2011"),
            f"{W}sym": self._symbol,
            f"{W}footnoteReference": self._note(FOOTNOTE),
            f"{W}endnoteReference": self._note(ENDNOTE),
            f"{W}commentReference": self._note(COMMENT),
            f"{W}fldChar": self._field_mark,
            f"{W}fldSimple": self._simple_field,
            f"{W}instrText": self._instruction,
            f"{W}del": self._deletion,
            f"{W}moveFrom": self._deletion,
            f"{W}drawing": self._drawing,
            f"{W}pict": self._drawing,
            f"{W}object": self._object,
            f"{M}oMath": self._equation,
            f"{M}oMathPara": self._equation,
            f"{W}sdt": self._control,
            f"{MC}AlternateContent": self._children,
            f"{MC}Choice": self._children,
            f"{MC}Fallback": self._children,
            f"{W}ruby": self._ruby,
            **dict.fromkeys(
                (
                    f"{W}{name}"
                    for name in ("hyperlink", "smartTag", "ins", "moveTo", "customXml", "sdtContent", "dir", "bdo")
                ),
                self._children,
            ),
        }

    def read(self, paragraph: etree._Element) -> Inline:
        inline = Inline()
        self._children(paragraph, inline)
        return inline

    def _children(self, element: etree._Element, inline: Inline) -> None:
        for child in element.iterchildren():
            handler = self._handlers.get(child.tag)
            if handler is not None:
                handler(child, inline)

    def _run(self, run: etree._Element, inline: Inline) -> None:
        properties = run.find(f"{W}rPr")
        # guard: docx-hidden
        if properties is not None and self._is_hidden(properties):
            if run.find(f"{W}t") is not None:
                self._writer.omit(OmissionKind.HIDDEN, detail="hidden text")
            return
        self._children(run, inline)

    def _is_hidden(self, properties: etree._Element) -> bool:
        vanish = properties.find(f"{W}vanish")
        if vanish is not None:
            return is_on(vanish)
        style = properties.find(f"{W}rStyle")
        return style is not None and self._styles.is_hidden(style.get(_VALUE, ""))

    def _text(self, element: etree._Element, inline: Inline) -> None:
        if element.text and not any(each.is_page_number for each in self._fields):
            inline.parts.append(element.text)

    def _break(self, element: etree._Element, inline: Inline) -> None:
        inline.parts.append("\n")

    def _symbol(self, element: etree._Element, inline: Inline) -> None:
        stated = element.get(f"{W}char", "")
        code = int(stated, 16) if _hexadecimal.fullmatch(stated) else 0
        if 0xF000 <= code <= 0xF0FF and (element.get(f"{W}font", "").startswith(("Wingdings", "Symbol"))):
            known = _SYMBOLS.get(code - 0xF000, "") if "Wing" in element.get(f"{W}font", "") else ""
            if not known:
                self._writer.omit(OmissionKind.UNREADABLE_CHARACTER)
            inline.parts.append(known)
        elif 0 < code < 0x110000:
            inline.parts.append(chr(code))

    def _note(self, kind: str) -> Callable[[etree._Element, Inline], None]:
        def handle(element: etree._Element, inline: Inline) -> None:
            attached = Attached(kind, element.get(f"{W}id", ""))
            inline.parts.append(self._note_mark(attached))
            inline.attached.append(attached)

        return handle

    def _field_mark(self, element: etree._Element, inline: Inline) -> None:
        kind = element.get(f"{W}fldCharType")
        if kind == "begin":
            self._fields.append(_Field())
            box = element.find(f"{W}ffData/{W}checkBox")
            if box is not None:
                state = box.find(f"{W}checked")
                inline.parts.append("☒" if is_on(box.find(f"{W}default") if state is None else state) else "☐")
        elif kind == "separate" and self._fields:
            self._fields[-1].has_result = True
        elif kind == "end" and self._fields:
            ended = self._fields.pop()
            if ended.instruction.split(maxsplit=1)[:1] == ["EQ"] and not ended.has_result:
                self._writer.omit(OmissionKind.FORMULA)

    def _instruction(self, element: etree._Element, inline: Inline) -> None:
        if self._fields:
            self._fields[-1].instruction += element.text or ""

    def _simple_field(self, element: etree._Element, inline: Inline) -> None:
        self._fields.append(_Field(element.get(f"{W}instr", ""), has_result=True))
        self._children(element, inline)
        self._fields.pop()

    def _deletion(self, element: etree._Element, inline: Inline) -> None:
        if next(element.iter(f"{W}delText", f"{W}t"), None) is not None:
            self._writer.omit(OmissionKind.OTHER, detail=DELETED)

    def _equation(self, element: etree._Element, inline: Inline) -> None:
        text = linear(element)
        if text:
            inline.parts.append(apart(text))
        else:
            self._writer.omit(OmissionKind.FORMULA)

    def _control(self, element: etree._Element, inline: Inline) -> None:
        """Read a content control, unless it only shows what is to be typed there."""
        properties = element.find(f"{W}sdtPr")
        is_prompt = properties is not None and is_on(properties.find(f"{W}showingPlcHdr"))
        if is_prompt and properties.find(f"{W14}checkbox") is None:
            return
        self._children(element, inline)

    def _ruby(self, element: etree._Element, inline: Inline) -> None:
        base = element.find(f"{W}rubyBase")
        if base is not None:
            self._children(base, inline)

    def _object(self, element: etree._Element, inline: Inline) -> None:
        if element.find(f".//{O}OLEObject") is not None:
            self._writer.omit(OmissionKind.EMBEDDED_OBJECT)
        else:
            self._drawing(element, inline)

    def _drawing(self, element: etree._Element, inline: Inline) -> None:
        """Count pictures, keeping their alternative texts, and attach text boxes, charts and diagrams."""
        described = list(element.iter(f"{WP}docPr"))
        pictures = 0
        for child in element.iter(f"{PIC}pic", f"{V}imagedata", f"{W}txbxContent", f"{C}chart", f"{DGM}relIds"):
            if child.tag == f"{W}txbxContent":
                if not _is_inside(child, element):
                    inline.attached.append(Attached(TEXT_BOX, element=child))
            elif child.tag == f"{C}chart":
                inline.attached.append(Attached(CHART, child.get(f"{R}id", "")))
            elif child.tag == f"{DGM}relIds":
                inline.attached.append(Attached(DIAGRAM, child.get(f"{R}dm", "")))
            elif not _is_inside(child, element):
                pictures += 1
        if pictures:
            self._writer.omit(OmissionKind.IMAGE, pictures)
            texts = [each.get("descr", "") for each in described] or [
                each.get("alt", "") for each in element.iter(f"{V}shape")
            ]
            inline.parts.extend(f" [Image: {' '.join(text.split())}] " for text in texts if text.strip())


def _is_inside(element: etree._Element, outermost: etree._Element) -> bool:
    """True if a text box stands around the element, inside of which it is read with the box."""
    for ancestor in element.iterancestors():
        if ancestor is outermost:
            return False
        if ancestor.tag == f"{W}txbxContent":
            return True
    return False


def _writes(text: str) -> Callable[[etree._Element, Inline], None]:
    def write(element: etree._Element, inline: Inline) -> None:
        inline.parts.append(text)

    return write
