"""Read the text of a Word paragraph, and its notes, comments, text boxes and charts.

Tracked insertions are read as text, and tracked deletions are counted. For a field, the last saved result is read.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.office.docx_styles import WordStyles
from ingest.parsing.office.equations import linearize_equation
from ingest.parsing.office.names import DGM, MC, PIC, W14, WP, C, M, O, R, V, W, is_property_on
from ingest.parsing.office.spacing import apply_spacing, mark_spacing
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind

_VALUE = f"{W}val"
_hexadecimal = re.compile(r"[0-9A-Fa-f]{1,6}")
_PAGE_FIELDS = ("PAGE", "NUMPAGES", "SECTIONPAGES")
# Wingdings characters by position, limited to those that exist in Unicode (Unicode 7.0, L2/11-196).
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
DELETIONS_DETAIL = Remark("omitted_deletions")
COMMENT, FOOTNOTE, ENDNOTE, TEXT_BOX, CHART, DIAGRAM = "comment", "footnote", "endnote", "text box", "chart", "diagram"


@dataclass(frozen=True)
class AttachedElement:
    """A note, chart, diagram or text box attached to a paragraph. `key` is the id of a note or a chart's relation."""

    kind: str
    key: str = ""
    element: etree._Element | None = None


@dataclass
class Inline:
    """The text of a paragraph and its attached elements, in reading order."""

    parts: list[str] = field(default_factory=list)
    attached: list[AttachedElement] = field(default_factory=list)

    @property
    def text(self) -> str:
        return apply_spacing("".join(self.parts))


@dataclass
class _Field:
    """An open field: its instruction, and whether its result has begun."""

    instruction: str = ""
    has_result: bool = False

    @property
    def is_page_number(self) -> bool:
        return self.has_result and self.instruction.split(maxsplit=1)[:1] in [[name] for name in _PAGE_FIELDS]


class InlineReader:
    """Reads the paragraphs of a document in order, because a field may extend over several paragraphs."""

    def __init__(
        self, styles: WordStyles, writer: DocumentWriter, get_note_mark: Callable[[AttachedElement], str]
    ) -> None:
        self._styles = styles
        self._writer = writer
        self._note_mark = get_note_mark
        self._fields: list[_Field] = []
        self._handlers: dict[str, Callable[[etree._Element, Inline], None]] = {
            f"{W}r": self._append_run,
            f"{W}t": self._append_text,
            f"{W}tab": _build_text_handler("\t"),
            f"{W}ptab": _build_text_handler("\t"),
            f"{W}cr": _build_text_handler("\n"),
            f"{W}br": self._append_break,
            f"{W}noBreakHyphen": _build_text_handler("\u2011"),
            f"{W}sym": self._append_symbol,
            f"{W}footnoteReference": self._build_note_handler(FOOTNOTE),
            f"{W}endnoteReference": self._build_note_handler(ENDNOTE),
            f"{W}commentReference": self._build_note_handler(COMMENT),
            f"{W}fldChar": self._read_field_mark,
            f"{W}fldSimple": self._append_simple_field,
            f"{W}instrText": self._read_instruction,
            f"{W}del": self._record_deletion,
            f"{W}moveFrom": self._record_deletion,
            f"{W}drawing": self._append_drawing,
            f"{W}pict": self._append_drawing,
            f"{W}object": self._append_object,
            f"{M}oMath": self._append_equation,
            f"{M}oMathPara": self._append_equation,
            f"{W}sdt": self._append_content_control,
            f"{MC}AlternateContent": self._append_children,
            f"{MC}Choice": self._append_children,
            f"{MC}Fallback": self._append_children,
            f"{W}ruby": self._append_ruby,
            **dict.fromkeys(
                (
                    f"{W}{name}"
                    for name in ("hyperlink", "smartTag", "ins", "moveTo", "customXml", "sdtContent", "dir", "bdo")
                ),
                self._append_children,
            ),
        }

    def read_paragraph(self, paragraph: etree._Element) -> Inline:
        """Read one paragraph."""
        inline = Inline()
        self._append_children(paragraph, inline)
        return inline

    def _append_children(self, element: etree._Element, inline: Inline) -> None:
        for child in element.iterchildren():
            handler = self._handlers.get(child.tag)
            if handler is not None:
                handler(child, inline)

    def _append_run(self, run: etree._Element, inline: Inline) -> None:
        properties = run.find(f"{W}rPr")
        # guard: docx-hidden
        if properties is not None and self._is_hidden(properties):
            if run.find(f"{W}t") is not None:
                self._writer.record_omission(OmissionKind.HIDDEN, detail=Remark("omitted_hidden_text"))
            return
        self._append_children(run, inline)

    def _is_hidden(self, properties: etree._Element) -> bool:
        vanish = properties.find(f"{W}vanish")
        if vanish is not None:
            return is_property_on(vanish)
        style = properties.find(f"{W}rStyle")
        return style is not None and self._styles.is_hidden(style.get(_VALUE, ""))

    def _append_text(self, element: etree._Element, inline: Inline) -> None:
        if element.text and not any(each.is_page_number for each in self._fields):
            inline.parts.append(element.text)

    def _append_break(self, element: etree._Element, inline: Inline) -> None:
        inline.parts.append("\n")

    def _append_symbol(self, element: etree._Element, inline: Inline) -> None:
        stated = element.get(f"{W}char", "")
        code = int(stated, 16) if _hexadecimal.fullmatch(stated) else 0
        if 0xF000 <= code <= 0xF0FF and (element.get(f"{W}font", "").startswith(("Wingdings", "Symbol"))):
            known = _SYMBOLS.get(code - 0xF000, "") if "Wing" in element.get(f"{W}font", "") else ""
            if not known:
                self._writer.record_omission(OmissionKind.UNREADABLE_CHARACTER)
            inline.parts.append(known)
        elif 0 < code < 0x110000:
            inline.parts.append(chr(code))

    def _build_note_handler(self, kind: str) -> Callable[[etree._Element, Inline], None]:
        def append_note(element: etree._Element, inline: Inline) -> None:
            attached = AttachedElement(kind, element.get(f"{W}id", ""))
            inline.parts.append(self._note_mark(attached))
            inline.attached.append(attached)

        return append_note

    def _read_field_mark(self, element: etree._Element, inline: Inline) -> None:
        kind = element.get(f"{W}fldCharType")
        if kind == "begin":
            self._fields.append(_Field())
            box = element.find(f"{W}ffData/{W}checkBox")
            if box is not None:
                state = box.find(f"{W}checked")
                inline.parts.append("☒" if is_property_on(box.find(f"{W}default") if state is None else state) else "☐")
        elif kind == "separate" and self._fields:
            self._fields[-1].has_result = True
        elif kind == "end" and self._fields:
            ended = self._fields.pop()
            if ended.instruction.split(maxsplit=1)[:1] == ["EQ"] and not ended.has_result:
                self._writer.record_omission(OmissionKind.FORMULA)

    def _read_instruction(self, element: etree._Element, inline: Inline) -> None:
        if self._fields:
            self._fields[-1].instruction += element.text or ""

    def _append_simple_field(self, element: etree._Element, inline: Inline) -> None:
        self._fields.append(_Field(element.get(f"{W}instr", ""), has_result=True))
        self._append_children(element, inline)
        self._fields.pop()

    def _record_deletion(self, element: etree._Element, inline: Inline) -> None:
        if next(element.iter(f"{W}delText", f"{W}t"), None) is not None:
            self._writer.record_omission(OmissionKind.OTHER, detail=DELETIONS_DETAIL)

    def _append_equation(self, element: etree._Element, inline: Inline) -> None:
        text = linearize_equation(element)
        if text:
            inline.parts.append(mark_spacing(text))
        else:
            self._writer.record_omission(OmissionKind.FORMULA)

    def _append_content_control(self, element: etree._Element, inline: Inline) -> None:
        """Read a content control, unless it contains only placeholder text."""
        properties = element.find(f"{W}sdtPr")
        is_prompt = properties is not None and is_property_on(properties.find(f"{W}showingPlcHdr"))
        if is_prompt and properties.find(f"{W14}checkbox") is None:
            return
        self._append_children(element, inline)

    def _append_ruby(self, element: etree._Element, inline: Inline) -> None:
        base = element.find(f"{W}rubyBase")
        if base is not None:
            self._append_children(base, inline)

    def _append_object(self, element: etree._Element, inline: Inline) -> None:
        if element.find(f".//{O}OLEObject") is not None:
            self._writer.record_omission(OmissionKind.EMBEDDED_OBJECT)
        else:
            self._append_drawing(element, inline)

    def _append_drawing(self, element: etree._Element, inline: Inline) -> None:
        """Count pictures, read their alternative text, and attach text boxes, charts and diagrams."""
        described = list(element.iter(f"{WP}docPr"))
        pictures = 0
        for child in element.iter(f"{PIC}pic", f"{V}imagedata", f"{W}txbxContent", f"{C}chart", f"{DGM}relIds"):
            if child.tag == f"{W}txbxContent":
                if not _is_in_text_box(child, element):
                    inline.attached.append(AttachedElement(TEXT_BOX, element=child))
            elif child.tag == f"{C}chart":
                inline.attached.append(AttachedElement(CHART, child.get(f"{R}id", "")))
            elif child.tag == f"{DGM}relIds":
                inline.attached.append(AttachedElement(DIAGRAM, child.get(f"{R}dm", "")))
            elif not _is_in_text_box(child, element):
                pictures += 1
        if pictures:
            self._writer.record_omission(OmissionKind.IMAGE, pictures)
            texts = [each.get("descr", "") for each in described] or [
                each.get("alt", "") for each in element.iter(f"{V}shape")
            ]
            inline.parts.extend(f" [Image: {' '.join(text.split())}] " for text in texts if text.strip())


def _is_in_text_box(element: etree._Element, outer_element: etree._Element) -> bool:
    """Return whether an element is in a text box inside `outer_element`, in which case it is read with the text box."""
    for ancestor in element.iterancestors():
        if ancestor is outer_element:
            return False
        if ancestor.tag == f"{W}txbxContent":
            return True
    return False


def _build_text_handler(text: str) -> Callable[[etree._Element, Inline], None]:
    def append_text(element: etree._Element, inline: Inline) -> None:
        inline.parts.append(text)

    return append_text
