"""Describes settings: each section with its variables, their types, bounds and defaults."""

from collections.abc import Iterable, Iterator
from inspect import get_annotations

from annotated_types import BaseMetadata
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from tests.surface.annotations import write_annotation
from tests.surface.product import HOME


def describe_settings(kinds: Iterable[type[BaseSettings]], known_variables: Iterable[str] = ()) -> list[str]:
    """Describe each section by itself, and every variable that is read without being one of theirs."""
    kinds = sorted(kinds, key=lambda kind: kind.__name__)
    lines = [line for kind in kinds for line in _section(kind)]
    fields = {variable_of(kind, name) for kind in kinds for name in kind.model_fields}
    others = sorted(name for name in known_variables if name.removesuffix("_FILE") not in fields)
    files = sorted(name for name in known_variables if name.removesuffix("_FILE") in fields - {name})
    return [*lines, *_list("Read besides", others), *_list("Files of secrets", files)]


def variable_of(kind: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a setting."""
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def _list(title: str, names: list[str]) -> list[str]:
    return [title, *(f"    {name}" for name in names)] if names else []


def _section(kind: type[BaseSettings]) -> Iterator[str]:
    sections = sorted(each.__name__ for each in kind.__bases__ if each is not BaseSettings)
    yield kind.__name__ + (f": {', '.join(sections)}" if sections else "")
    own = get_annotations(kind)
    for name, field in sorted(kind.model_fields.items()):
        if name in own:
            yield f"    {variable_of(kind, name)}: {_type(field)}{_default(field)}"


def _type(field: FieldInfo) -> str:
    """Write a type and its bounds."""
    bounds = [str(each) for each in field.metadata if isinstance(each, BaseMetadata)]
    patterns = [
        each.pattern for each in field.metadata if not isinstance(each, BaseMetadata) and hasattr(each, "pattern")
    ]
    return " ".join([write_annotation(field.annotation), *bounds, *patterns])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return " (required)"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value is None:
        return ""
    return f" = {str(value).replace(HOME, '~')!r}" if isinstance(value, str) else f" = {value}".replace(HOME, "~")
