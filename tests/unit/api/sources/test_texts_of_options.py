"""Texts of the options of sources: people see them in the portal, in their language, instead of the names of fields."""

from typing import Any

import pytest

from api.languages.catalogue import Texts
from ingest.sources.port import SourceKind
from ingest.sources.registry import SOURCE_KINDS
from tests.texts.extraction import list_texts_of_sources

_KINDS = pytest.mark.parametrize("kind", SOURCE_KINDS.values(), ids=lambda kind: kind.name)


@_KINDS
def test_a_kind_of_source_has_a_name_for_people(kind: SourceKind) -> None:
    assert kind.options.model_config.get("title")


@_KINDS
def test_each_option_has_a_title_and_a_description(kind: SourceKind) -> None:
    fields = kind.options.model_fields
    assert [name for name, field in fields.items() if not (field.title and field.description)] == []


@_KINDS
def test_each_choice_of_an_option_has_a_text(kind: SourceKind) -> None:
    schema = kind.options.model_json_schema()
    for option in schema["properties"].values():
        assert set(option.get("labels", {})) == set(_list_choices(option, schema.get("$defs", {})))


def test_the_texts_of_options_are_translated_on_the_page_of_sources() -> None:
    script = Texts("de").build_script(["source_form.js"])
    assert list_texts_of_sources()
    for title in ("Path of the folder", "Links on the pages", "Web site"):
        assert f'"{title}": ' in script


def _list_choices(option: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    parts = [option, *option.get("anyOf", ()), *option.get("allOf", ())]
    parts += [definitions[each["$ref"].rpartition("/")[2]] for each in parts if "$ref" in each]
    return [each for part in parts for each in part.get("enum", ())]
