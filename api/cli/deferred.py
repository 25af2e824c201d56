"""Imports commands lazily, so that `leadline --help` does not load every command's libraries."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group


@dataclass(frozen=True)
class CommandTarget:
    """The location of a command, its help text, and its panel in `leadline --help`.

    `place` is the `module:name` of a function or a `Typer` app.
    """

    place: str
    help: str
    panel: str = "Commands"

    def load(self, name: str) -> Any:  # noqa: ANN401 - a command of the click that Typer vendors
        module, _, attribute = self.place.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            group = get_group(found)
            group.name = name
            return _join_help_lines(group)
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(found)
        return _join_help_lines(get_command(alone))


def _join_help_lines(command: Any) -> Any:  # noqa: ANN401 - a command of the click that Typer vendors
    """Join the lines of each help paragraph of a command and its subcommands.

    Typer keeps the source's line breaks, which look ragged in a narrower terminal.
    """
    command.help = re.sub(r"(?<!\n)\n(?!\n)", " ", command.help or "")
    for below in getattr(command, "commands", {}).values():
        _join_help_lines(below)
    return command


class DeferredCommand(TyperCommand):
    """A placeholder that imports the real command when it is called, and delegates to it."""

    def __init__(self, name: str, target: CommandTarget) -> None:
        super().__init__(name, help=target.help, rich_help_panel=target.panel)
        self._target = target

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:  # noqa: ANN401 - as in Typer
        return self._target.load(self.name or "").make_context(info_name, args, parent, **extra)


def build_command_group(targets: Mapping[str, CommandTarget]) -> type[TyperGroup]:
    """Build a group class that contains these commands, for use as `Typer(cls=…)`."""

    class DeferredGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - as in Typer
            super().__init__(**attributes)
            for name, target in targets.items():
                self.add_command(DeferredCommand(name, target))

    return DeferredGroup
