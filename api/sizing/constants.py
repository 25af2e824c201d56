"""Read the constants that plans are made of, from one file that says where each comes from."""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

_FILE = Path(__file__).with_name("constants.toml")

Origin = Literal["measured", "published", "assumed"]


@dataclass(frozen=True)
class Constant:
    """One figure: `origin` says how far to trust it, `source` where it stands or was measured."""

    value: float
    unit: str
    origin: Origin
    source: str


@dataclass(frozen=True)
class Gpu:
    """A kind of GPU: usable bytes, and the published bandwidth and 16-bit speed without sparsity."""

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
        """The bytes of the driver's context and of recorded graphs."""
        return self.context_gib * 1024**3


@dataclass(frozen=True)
class Constants:
    """All figures by name, and the kinds of GPUs by id."""

    figures: dict[str, Constant]
    gpus: dict[str, Gpu]

    def __getitem__(self, name: str) -> float:
        return self.figures[name].value


@cache
def load_constants() -> Constants:
    """Read the file that ships."""
    read: dict[str, Any] = tomllib.loads(_FILE.read_text("utf-8"))
    figures = {name: Constant(**entry) for name, entry in read["figures"].items()}
    context = figures["gpu_context_gib"].value
    gpus = {name: Gpu(id=name, context_gib=context, **entry) for name, entry in read["gpus"].items()}
    return Constants(figures, gpus)
