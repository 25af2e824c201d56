"""The word lists, templates and label sets of the benchmark, which are TOML files beside the code."""

import tomllib
from functools import lru_cache
from importlib.resources import files
from typing import Any


@lru_cache(maxsize=16)
def table(name: str) -> dict[str, Any]:
    """The parsed file `data/<name>.toml`; callers do not change it."""
    return tomllib.loads(files("tests.benchmark.tasks").joinpath(f"data/{name}.toml").read_text("utf-8"))
