"""The word lists, templates and label sets of the tasks, which are TOML files beside the code."""

import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any


@lru_cache(maxsize=16)
def table(name: str) -> dict[str, Any]:
    """The parsed file `data/<name>.toml`; callers do not change it."""
    return tomllib.loads((Path(__file__).parent / "data" / f"{name}.toml").read_text("utf-8"))
