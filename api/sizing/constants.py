"""Loads the constants for capacity plans from a file that names the source of each constant."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

_FILE = Path(__file__).with_name("constants.toml")

Origin = Literal["measured", "published", "assumed"]


@dataclass(frozen=True)
class Constant:
    """A constant with its `origin`, which indicates its reliability, and the `source` of the value."""

    value: float
    unit: str
    origin: Origin
    source: str


@dataclass(frozen=True)
class Gpu:
    """A GPU type with its usable memory, published bandwidth, and dense 16-bit speed."""

    id: str
    name: str
    memory_gib: float
    gigabytes_a_second: float
    teraflops: float
    context_gib: float

    @property
    def memory_bytes(self) -> float:
        return self.memory_gib * 1024**3

    @property
    def context_bytes(self) -> float:
        """The memory used by the driver's context and captured graphs."""
        return self.context_gib * 1024**3


@dataclass(frozen=True)
class Constants:
    """All constants keyed by name, and all GPU types keyed by id."""

    figures: dict[str, Constant]
    gpus: dict[str, Gpu]

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value


@cache
def load_constants() -> Constants:
    """Load the constants from the package's data file."""
    read: dict[str, Any] = tomllib.loads(_FILE.read_text("utf-8"))
    figures = {name: Constant(**entry) for name, entry in read["figures"].items()}
    context = figures["gpu_context_gib"].value
    gpus = {name: Gpu(id=name, context_gib=context, **entry) for name, entry in read["gpus"].items()}
    return Constants(figures, gpus)
