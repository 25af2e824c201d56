"""Describes the tree of commands: what `--help` says, without its layout."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from tests.surface.annotations import write_annotation
from tests.surface.product import HOME


class Loads(Protocol):
    """A command that is imported when it is first called."""

    def load(self, name: str) -> Any: ...  # noqa: ANN401 - a command of the click that Typer brings along


def describe_commands(root: Any, deferred: Mapping[str, Loads] | None = None) -> list[str]:  # noqa: ANN401 - of click
    """Describe a group and every command below it; those in `deferred` are loaded first."""
    return list(_command("leadline", root, deferred or {}))


def _command(path: str, command: Any, deferred: Mapping[str, Loads]) -> Iterator[str]:  # noqa: ANN401
    yield path + (" (hidden)" if command.hidden else "")
    yield from (f"    {line}" for line in _text(command.help))
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = sorted((each for each in command.params if each.param_type_name == "option"), key=lambda each: each.opts)
    for each in (*arguments, *options):
        yield f"    {_parameter(each)}"
        yield from (f"        {line}" for line in _text(getattr(each, "help", None)))
    for name, below in sorted(getattr(command, "commands", {}).items()):
        if name in deferred:
            loaded = deferred[name].load(name)
            if _text(below.help) != _text(loaded.help)[:1]:
                yield f"{path} {name}: in the listing"
                yield from (f"    {line}" for line in _text(below.help))
            yield from _command(f"{path} {name}", loaded, {})
        else:
            yield from _command(f"{path} {name}", below, {})


def _parameter(parameter: Any) -> str:  # noqa: ANN401
    """Write a parameter's names, type and default on one line."""
    names = ", ".join(parameter.opts) + "".join(f" / {name}" for name in parameter.secondary_opts)
    if parameter.param_type_name == "argument":
        names = names.upper()
    words = [names, _type(parameter)]
    if parameter.required:
        words.append("required")
    if parameter.nargs != 1 or getattr(parameter, "multiple", False):
        words.append("several")
    if parameter.default not in (None, False) and not parameter.required:
        words.append(f"= {_default(parameter.default)}")
    words += [f"from {parameter.envvar}"] if parameter.envvar else []
    words += ["hidden"] if getattr(parameter, "hidden", False) else []
    return " ".join(words)


def _type(parameter: Any) -> str:  # noqa: ANN401
    if getattr(parameter, "is_flag", False):
        return "flag"
    low, high = parameter.min, parameter.max
    bounds = "" if low is None and high is None else f"[{'' if low is None else low}..{'' if high is None else high}]"
    return write_annotation(parameter.type_descriptor.annotation) + bounds


def _default(value: Any) -> str:  # noqa: ANN401
    if callable(value):
        return "…"
    value = getattr(value, "value", value)
    return str(value).replace(HOME, "~")


def _text(text: str | None) -> list[str]:
    """Return the words of a help text, a line for each paragraph."""
    paragraphs = (text or "").replace("\r", "").split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]
