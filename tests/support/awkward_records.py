"""Records with awkward values: each text has half a character, times are fractions, and much is None or empty."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from random import Random
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ingest.storage.remarks import Remark

Record = TypeVar("Record")
TEXT = "half \ud83d, Zürich, \N{ZERO WIDTH SPACE}x"
ANYTHING = {"text \udc00": TEXT, "numbers": [1, 2.5, math.nan, {"deep": -math.inf}], "none": None, "yes": True}
# `datetime` alone makes another microsecond of the first.
_TIMES = (1664944836.9453125, 4_000_000_000.123457, 0.25)


def awkward(kind: type[Record], chance: Random, **given: object) -> Record:
    """Make a record of a dataclass; `chance` decides what is None or empty, and which members enumerations have."""
    assert dataclasses.is_dataclass(kind)
    hints, base = get_type_hints(kind), chance.random()
    # By name, so that one more attribute leaves the others as they are.
    chances = {name: Random(f"{base} {name}") for name in hints if name not in given}
    made: Record = kind(**{name: _value(hints[name], own) for name, own in chances.items()}, **given)
    return made


def _value(hint: Any, chance: Random) -> Any:  # noqa: ANN401 - of any type
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        kinds = [each for each in arguments if each is not NoneType]
        return None if NoneType in arguments and chance.random() < 0.4 else _value(chance.choice(kinds), chance)
    if origin is Literal:
        return chance.choice(arguments)
    if origin in (tuple, Sequence, frozenset):
        many = origin if origin is frozenset else tuple
        return many(_value(arguments[0], chance) for _ in range(chance.randrange(3)))
    if origin in (dict, Mapping):
        if arguments[1] is Any:
            return ANYTHING if chance.random() < 0.7 else {}
        return {_value(arguments[0], chance): _value(arguments[1], chance) for _ in range(chance.randrange(3))}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return awkward(hint, chance)
    return _plain(hint, chance)


def _plain(hint: Any, chance: Random) -> Any:  # noqa: ANN401 - of any type
    if issubclass(hint, Enum):
        return chance.choice(list(hint))
    if hint is bool:
        return chance.random() < 0.5
    if hint is int:
        return chance.choice([0, 1, 7, 2**40])
    if hint is float:
        return chance.choice(_TIMES)
    if hint is Remark:
        return Remark("document_unreadable", title=TEXT, document=chance.choice(["", "plain"]))
    assert hint is str, hint
    return chance.choice([TEXT, "", "plain"]) + chance.choice(["", "é", str(chance.randrange(1000))])
