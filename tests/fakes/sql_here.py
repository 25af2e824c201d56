"""The SQL engine in this process, for unit tests: without the limits, which would outlive the query."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rlm.errors import require_not_cancelled
from rlm.tables.sql import SqlEngine
from rlm.tables.sql_child import answer_request


def sql_engine_here() -> SqlEngine:
    """An engine that runs the child's code, on requests and answers that pass through JSON as they do to a child."""
    return SqlEngine(run=_run_here)


def _run_here(request: Mapping[str, Any], folder: Path, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
    require_not_cancelled(cancelled)
    answered = answer_request(json.loads(json.dumps(request)), set_limit=lambda kind, value: None)
    return dict(json.loads(json.dumps(answered)))
