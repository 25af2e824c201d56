"""Every JSON schema that is sent, as servers take it: one is added to `SCHEMAS` with what makes it."""

from collections.abc import Iterator, Mapping

import pytest

from rlm import suggesting
from rlm.checking.judging import build_verdict_schema
from rlm.conversation import build_condensed_schema
from rlm.llm.structured_output import build_response_format
from rlm.operators.tasks import (
    ClassifyTask,
    ExtractTask,
    FilterTask,
    JointTask,
    NotesTask,
    build_label_set,
    build_records_call,
    wrap_task,
)
from rlm.requests import StrategyName
from rlm.rewriting import _FORMS, _build_call
from rlm.routing import build_route_schema
from rlm.tables.plan import LOOKING_SCHEMA, PLAN_SCHEMA

_RECORDS = ["one", "two"]
_VALUES: dict[str, dict[str, object]] = {
    "name": {"type": "string", "enum": ["a", "b"]},
    "age": {"type": "integer"},
    "tags": {"type": "array"},
}
_FILTER, _EXTRACT = FilterTask("Is it?"), ExtractTask("Take it out.", _VALUES)


SCHEMAS: dict[str, Mapping[str, object] | None] = {
    "route": build_route_schema(list(StrategyName)),
    "route, one choice": build_route_schema([StrategyName.DIRECT]),
    "condense": build_condensed_schema(),
    "judge": build_verdict_schema(),
    "classify": build_records_call(ClassifyTask(build_label_set(["a", "b"])), _RECORDS).schema,
    "filter": build_records_call(_FILTER, _RECORDS).schema,
    "extract": build_records_call(_EXTRACT, _RECORDS).schema,
    "notes": build_records_call(NotesTask("Find it.", "notes"), _RECORDS).schema,
    "passages, with quotes": build_records_call(wrap_task(_FILTER, quoting=True, partial=True), _RECORDS).schema,
    "joint": build_records_call(JointTask({"a": _FILTER, "b": _EXTRACT}, True, True), _RECORDS).schema,
    "filter, nothing": build_records_call(_FILTER, []).schema,
    "plan": PLAN_SCHEMA,
    "suggest": suggesting.SCHEMA,
    "plan, or look first": LOOKING_SCHEMA,
    **{f"rewrite, {how}": _build_call("What is it?", form).schema for how, form in _FORMS.items()},
}


def parts(schema: object) -> Iterator[Mapping[str, object]]:
    """Each object in a schema."""
    if isinstance(schema, list):
        for each in schema:
            yield from parts(each)
    elif isinstance(schema, Mapping):
        yield schema
        for each in schema.values():
            yield from parts(each)


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_choice_is_one_among_nothing(name: str) -> None:
    assert all(part["enum"] for part in parts(SCHEMAS[name]) if "enum" in part)


@pytest.mark.parametrize("name", SCHEMAS)
def test_each_is_strict_so_that_openai_enforces_it(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema is not None
    assert build_response_format(schema)["json_schema"]["strict"]
