"""Taking values out of records with a model, in the shape of a JSON schema."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlm.llm.port import SubCall
from rlm.llm.structured_output import require_usable
from rlm.operators.prompts import EXTRACTING_SYSTEM, extracting_prompt, values_schema

_TOKENS_PER_VALUE = 40
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


@dataclass(frozen=True)
class ExtractingTask:
    """The values of each record. `properties` are JSON schemas by name; each value may also be null.

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
        require_usable(values_schema(1, dict(self.properties)))

    def call(self, records: Sequence[str]) -> SubCall:
        properties = {name: _or_null(schema) for name, schema in self.properties.items()}
        return SubCall(
            EXTRACTING_SYSTEM,
            extracting_prompt(self.instruction, records),
            _TOKENS_PER_VALUE * len(records) * len(properties) + _TOKENS_AROUND,
            values_schema(len(records), properties),
            self.purpose,
        )

    def read(self, values: Mapping[str, Any], position: int) -> object | None:
        value = values.get(str(position))
        if not isinstance(value, dict) or not self.properties.keys() <= value.keys():
            return None
        found = {name: value[name] for name in self.properties}
        return found if all(_fits(found[name], schema) for name, schema in self.properties.items()) else None


def _or_null(schema: Mapping[str, object]) -> dict[str, object]:
    return {"anyOf": [dict(schema), {"type": "null"}]}


def _fits(value: object, schema: Mapping[str, object]) -> bool:
    kind = str(schema["type"])
    if value is None:
        return True
    if isinstance(value, bool) and kind != "boolean":
        return False
    choices = schema.get("enum")
    return isinstance(value, _TYPES[kind]) and (not isinstance(choices, list) or value in choices)
