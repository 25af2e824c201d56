# ruff: noqa: F401
from collections import Counter, defaultdict, deque
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Callable,
    ClassVar,
    Dict,
    Final,
    FrozenSet,
    Generator,
    Generic,
    Iterable,
    Iterator,
    List,
    Literal,
    Mapping,
    NoReturn,
    Optional,
    Protocol,
    Self,
    Sequence,
    Set,
    Tuple,
    Type,
    TypeVar,
    Union,
)

NamedTuple = TypedDict = Hashable = Collection = Awaitable = Coroutine = Pattern = Match = Any
DefaultDict = Dict
Deque = List
Text = str


def cast(_, value):
    return value


def overload(function):
    return function
