"""What a model can be asked about each record of a pack: its class, yes or no, values, or notes on a part of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rlm.llm.port import SubCall
from rlm.llm.structured_output import require_usable
from rlm.operators.labels import YES_OR_NO, LabelSet
from rlm.operators.prompts import (
    SYSTEM,
    classifying_prompt,
    closed_object,
    extracting_prompt,
    filtering_prompt,
    listed,
    notes_prompt,
    numbered_schema,
)

# Room for replies; a reply that needs more is asked for again with more.
_TOKENS_PER_LABEL = 14
_TOKENS_PER_VALUE = 40
_TOKENS_PER_NOTE = 300
_TOKENS_AROUND = 32
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


class Task(Protocol):
    """One question about each record. `aim` puts it in words for whoever reads a long record part by part."""

    @property
    def purpose(self) -> str: ...

    @property
    def aim(self) -> str: ...

    def call(self, records: Sequence[str]) -> SubCall: ...

    def read(self, value: object) -> object | None:
        """The result of one record by its value in the reply; None where that is unusable."""


@dataclass(frozen=True)
class Classify:
    """The class of each record; `instruction` says what to sort by where the labels alone do not."""

    labels: LabelSet
    instruction: str = ""
    purpose: str = "classify"

    @property
    def aim(self) -> str:
        return f"{self.instruction} Decide which of these classes fits the document best: {listed(self.labels)}"

    def call(self, records: Sequence[str]) -> SubCall:
        prompt = classifying_prompt(self.labels, self.instruction, records)
        return _choice(prompt, len(records), self.labels, self.purpose)

    def read(self, value: object) -> object | None:
        return value if value in self.labels.names else None


@dataclass(frozen=True)
class Filter:
    """Yes or no for each record."""

    question: str
    purpose: str = "filter"

    @property
    def aim(self) -> str:
        return f"answer yes or no to this question about the whole document: {self.question}"

    def call(self, records: Sequence[str]) -> SubCall:
        prompt = filtering_prompt(self.question, records)
        return _choice(prompt, len(records), YES_OR_NO, self.purpose)

    def read(self, value: object) -> object | None:
        return value if value in YES_OR_NO.names else None


@dataclass(frozen=True)
class Extract:
    """Values of each record. `properties` are JSON schemas by name; each value may also be null.

    Raises `ValueError` where none is named or a type is unknown, and `LanguageModelRefusedError` for what is no schema.
    """

    instruction: str
    properties: Mapping[str, Mapping[str, object]]
    purpose: str = "extract"

    def __post_init__(self) -> None:
        if not self.properties:
            raise ValueError("an extraction names at least one property")
        unknown = {str(each.get("type")) for each in self.properties.values()} - _TYPES.keys()
        if unknown:
            raise ValueError(f"a property's type is one of {', '.join(_TYPES)}, not {', '.join(sorted(unknown))}")
        require_usable(numbered_schema(1, self._schema))

    @property
    def aim(self) -> str:
        return f"{self.instruction} (the values asked for: {', '.join(self.properties)})"

    def call(self, records: Sequence[str]) -> SubCall:
        room = _TOKENS_PER_VALUE * len(records) * len(self.properties) + _TOKENS_AROUND
        schema = numbered_schema(len(records), self._schema)
        return SubCall(SYSTEM, extracting_prompt(self.instruction, records), room, schema, self.purpose)

    def read(self, value: object) -> object | None:
        if not isinstance(value, dict) or not self.properties.keys() <= value.keys():
            return None
        found = {name: value[name] for name in self.properties}
        return found if all(_fits(found[name], schema) for name, schema in self.properties.items()) else None

    @property
    def _schema(self) -> dict[str, object]:
        return closed_object(
            {name: {"anyOf": [dict(schema), {"type": "null"}]} for name, schema in self.properties.items()}
        )


@dataclass(frozen=True)
class TakeNotes:
    """What of each part of a long record bears on another task."""

    aim: str
    purpose: str

    def call(self, records: Sequence[str]) -> SubCall:
        room = _TOKENS_PER_NOTE * len(records) + _TOKENS_AROUND
        schema = numbered_schema(len(records), {"type": "string"})
        return SubCall(SYSTEM, notes_prompt(self.aim, records), room, schema, self.purpose)

    def read(self, value: object) -> object | None:
        return value if isinstance(value, str) else None


def _choice(prompt: str, count: int, labels: LabelSet, purpose: str) -> SubCall:
    schema = numbered_schema(count, {"type": "string", "enum": list(labels.names)})
    return SubCall(SYSTEM, prompt, _TOKENS_PER_LABEL * count + _TOKENS_AROUND, schema, purpose)


def _fits(value: object, schema: Mapping[str, Any]) -> bool:
    if value is None:
        return True
    kind = str(schema["type"])
    if isinstance(value, bool) and kind != "boolean":
        return False
    choices = schema.get("enum")
    return isinstance(value, _TYPES[kind]) and (not isinstance(choices, list) or value in choices)
