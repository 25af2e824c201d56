"""Imports each command when it is called, so that `leadline --help` does not load the libraries of all commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True)
class Target:
    """The location of a command and its help in listings. `place` is `module:name` of a function or a `Typer`."""

    place: str
    help: str

    def load(self, name: str) -> Any:  # noqa: ANN401 - a command of the click that Typer vendors
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            group = get_group(found)
            group.name = name
            return group
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(found)
        return get_command(alone)


class DeferredCommand(TyperCommand):
    """A placeholder for a command in listings. Calling it imports the command and delegates to it."""

    def __init__(self, name: str, target: Target) -> None:
        super().__init__(name, help=target.help)
        self._target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401 - as in Typer
        return self._target.load(self.name or "").make_context(info_name, args, parent, **extra)


def build_group(targets: Mapping[str, Target]) -> type[TyperGroup]:
    """Build a group class with these commands, for `Typer(cls=…)`."""

    class Deferred(TyperGroup):
        def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - as in Typer
            super().__init__(**attributes)
            for name, target in targets.items():
                self.add_command(DeferredCommand(name, target))

    return Deferred
