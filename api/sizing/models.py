"""Language models that can be planned for by name, without a checkpoint."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from api.sizing.checkpoint import Checkpoint, CheckpointError, load_checkpoint, parse_checkpoint

_FILE = Path(__file__).with_name("models.json")


def load_model_checkpoint(name_or_path: str) -> Checkpoint:
    """Load a known model by name, or the checkpoint at a path.

    Raises a `CheckpointError` that lists the known names if there is neither.
    """
    known = {name.lower(): name for name in _load_models()}
    if name := known.get(name_or_path.lower()):
        return parse_checkpoint(_load_model_config(name), name=name)
    if Path(name_or_path).exists():
        return load_checkpoint(Path(name_or_path))
    raise CheckpointError(
        f"{name_or_path} is neither an existing path nor a known model.",
        hint=f"Use a checkpoint's folder or config.json, or one of {', '.join(sorted(_load_models()))}.",
    )


def list_model_names() -> list[str]:
    """List the names of the known models."""
    return sorted(_load_models())


@cache
def _load_models() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = json.loads(_FILE.read_text("utf-8"))
    return read


def _load_model_config(name: str) -> dict[str, Any]:
    entry = _load_models()[name]
    base = _load_model_config(entry["like"]) if "like" in entry else {}
    return {**base, **entry}
