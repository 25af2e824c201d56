"""Masks the names of documents in answers that have seen these names and nothing else of the documents.

A name is found in upper and lower case, and with any characters between its words that are no letters or digits.
Quotations from other documents and values of tables are not masked, because they were read in these documents.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from ingest.storage.accounts.access import Readers
from ingest.storage.answers.records import StoredAnswer
from ingest.storage.documents.records import ROUTE_SUFFIX
from ingest.storage.documents.works import list_hidden_names

DELETED_NAME = "[a deleted document]"
CLOSED_NAME = "[a document]"
# Placeholders and citation markers are not changed, even if a document is named "document" or "1".
_KEPT = rf"{re.escape(DELETED_NAME)}|{re.escape(CLOSED_NAME)}|\[withheld:[^\]]*\]|\[\d+\]"
_WORD = re.compile(r"[^\W_]+")
# Members of a result table that a model wrote.
_TABLE_TEXTS = ("columns", "sql", "semantic_columns")
# Members whose remarks repeat the texts of "notes" and "reasons" with their values.
_CODED_REMARKS = ("coded_notes", "coded_reasons")
_Span = tuple[int, int, str]


class NameMask:
    """Replaces names in texts. `placeholders` maps each name to its replacement. It is false if there are no names."""

    def __init__(self, placeholders: Mapping[str, str]) -> None:
        self._placeholders = {form: shown for name, shown in placeholders.items() for form in _iter_forms(name)}

    def __bool__(self) -> bool:
        return bool(self._placeholders)

    def without_names_in(self, text: str) -> "NameMask":
        """Return this mask without the names that a text contains, which is of documents that the reader may see."""
        return NameMask(
            {
                name: shown
                for name, shown in self._placeholders.items()
                if not (_may_contain(text.casefold(), name) and re.search(_build_pattern(name), text, re.IGNORECASE))
            }
        )

    def mask_text(self, text: str) -> str:
        return _replace_spans(text, self.find_spans(text))

    def find_spans(self, text: str) -> list[_Span]:
        """Return the spans of names in a text, in order, each with its replacement."""
        folded = text.casefold()
        # A pattern of a thousand names would take a minute. The longest name that fits is replaced.
        names = sorted((each for each in self._placeholders if _may_contain(folded, each)), key=len, reverse=True)
        if not names:
            return []
        groups = "".join(f"|({_build_pattern(each)})" for each in names)
        return [
            (each.start(), each.end(), self._placeholders[names[each.lastindex - 1]])
            for each in re.finditer(_KEPT + groups, text, re.IGNORECASE)
            if each.lastindex is not None
        ]


def mask_answer(body: Mapping[str, Any], question: str, mask: NameMask) -> dict[str, Any]:
    """Mask names in the JSON of an answer. The positions of its sentences are updated. `question` is the user's own.

    A name that a remaining citation contains is not masked: it is no secret of the document that was only named.
    """
    cited = [
        f"{each.get('title', '')}\n{each.get('quote') or ''}" for each in body["citations"] if not each.get("deleted")
    ]
    mask = mask.without_names_in("\n".join(cited)) if mask else mask
    if not mask:
        return dict(body)
    spans = mask.find_spans(body["text"])
    text = _replace_spans(body["text"], spans)
    changed: dict[str, Any] = {
        "text": text,
        "sentences": [_mask_sentence(each, body["text"], text, spans, mask) for each in body["sentences"]],
        "question": question if body["question"] == question else mask.mask_text(body["question"]),
        "searched": {**body["searched"], "queries": _mask_json(body["searched"]["queries"], mask)},
        "reasons": _mask_json(body["reasons"], mask),
        "notes": _mask_json(body["notes"], mask),
        # guard: coded-remarks-masked
        **{name: _mask_remarks(body[name], mask) for name in _CODED_REMARKS if name in body},
    }
    if body["result"] is not None:
        changed["result"] = {**body["result"], "value": _mask_json(body["result"]["value"], mask)}
    if (table := body["table"]) is not None:
        said = {name: _mask_json(table[name], mask) for name in _TABLE_TEXTS if name in table}
        changed["table"] = {**table, **said}
    return {**body, **changed}


def mask_answers(
    connection: Connection, readers: Readers, stored_answers: Sequence[StoredAnswer]
) -> list[StoredAnswer]:
    """Mask names of documents that answers have only seen and that these readers may not see."""
    masks = load_masks(connection, readers, [each.id for each in stored_answers])
    return [replace(each, body=mask_answer(each.body, each.question, masks[each.id])) for each in stored_answers]


def load_masks(connection: Connection, readers: Readers, work_ids: Iterable[str]) -> dict[str, NameMask]:
    """Load the mask of each answer or run, for these readers. Also masks deleted documents not yet redacted.

    Names seen while a strategy was chosen are included, because the choice's searches may have carried them on.
    """
    ids = list(work_ids)
    # guard: seen-names-readers
    hidden = list_hidden_names(connection, [*ids, *(each + ROUTE_SUFFIX for each in ids)], readers)
    return {
        each: NameMask(
            {
                name: DELETED_NAME if is_deleted else CLOSED_NAME
                for names in (hidden.get(each, {}), hidden.get(each + ROUTE_SUFFIX, {}))
                for name, is_deleted in names.items()
            }
        )
        for each in ids
    }


def _may_contain(folded_text: str, name: str) -> bool:
    """Return whether a text, in case-folded form, has all words of a name."""
    return all(word.casefold() in folded_text for word in _WORD.findall(name) or [name])


def _iter_forms(name: str) -> Iterator[str]:
    """Yield a name in both Unicode normalization forms. File systems and models differ in the form that they use.

    A single character or a number is left out, because it stands for other things as well.
    """
    if len(name.strip()) > 1 and not name.strip().isdigit():
        yield unicodedata.normalize("NFC", name)
        yield unicodedata.normalize("NFD", name)


def _build_pattern(name: str) -> str:
    """Build the pattern of a name: its words, with any characters that are no letters or digits between them."""
    words = _WORD.findall(name)
    if not words:
        return re.escape(name)
    # A word in a script with spaces between words is not matched inside a longer word.
    before = r"(?<![^\W_])" if _is_delimited(words[0][0]) else ""
    after = r"(?![^\W_])" if _is_delimited(words[-1][-1]) else ""
    first, last = re.escape(name[: name.index(words[0])]), re.escape(name[name.rindex(words[-1]) + len(words[-1]) :])
    return f"(?:{first})?{before}" + r"[\W_]+".join(map(re.escape, words)) + f"{after}(?:{last})?"


def _is_delimited(character: str) -> bool:
    return character.isdigit() or character.lower() != character.upper()


def _mask_sentence(
    sentence: Mapping[str, Any], text: str, masked_text: str, spans: Sequence[_Span], mask: NameMask
) -> dict[str, Any]:
    """Mask names in a sentence. A name that ends in the next sentence belongs to the sentence in which it begins."""
    start, end = (_move_position(sentence[name], spans) for name in ("start", "end"))
    is_at = text[sentence["start"] : sentence["end"]] == sentence["text"]
    said = {"text": masked_text[start:end], "start": start, "end": end} if is_at else {}
    return {**sentence, "text": mask.mask_text(sentence["text"]), "reason": mask.mask_text(sentence["reason"]), **said}


def _move_position(position: int, spans: Iterable[_Span]) -> int:
    """Return where a position of a text is after its names were replaced. Within a name, that is the name's end."""
    moved = position
    for start, end, shown in spans:
        if position <= start:
            break
        moved += len(shown) - (min(end, position) - start)
    return moved


def _replace_spans(text: str, spans: Iterable[_Span]) -> str:
    pieces, last = [], 0
    for start, end, shown in spans:
        pieces += [text[last:start], shown]
        last = end
    return "".join([*pieces, text[last:]])


def _mask_json(value: Any, mask: NameMask) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case str():
            return mask.mask_text(value)
        case dict():
            return {mask.mask_text(name): _mask_json(each, mask) for name, each in value.items()}
        case list():
            return [_mask_json(each, mask) for each in value]
    return value


def _mask_remarks(value: Any, mask: NameMask) -> Any:  # noqa: ANN401 - any JSON
    """Mask the values and texts of remarks, but not their codes and the names of their values."""
    match value:
        case str():
            return mask.mask_text(value)
        case dict():
            return {name: each if name == "code" else _mask_remarks(each, mask) for name, each in value.items()}
        case list():
            return [_mask_remarks(each, mask) for each in value]
    return value
