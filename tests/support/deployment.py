"""The files of `deploy/` as tests read them, and what in them is real."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from fastapi.routing import APIRoute
from typer.main import get_command

from api.cli.environment import list_known_variables
from api.cli.main import app
from api.settings.settings import Settings
from api.status import metrics
from api.status import routes as health
from workers.enqueue.celery_app import QUEUE_NAMES

DEPLOY = Path(__file__).parents[2] / "deploy"
# Images of ours are built on it, and `deploy/cluster/build-images` names its digest, which only a registry knows.
PLACEHOLDER = "python:3.11-slim-trixie"
API_PORT = int(Settings.model_fields["port"].default)
API_PATHS = {
    route.path for router in (health.router, metrics.router) for route in router.routes if isinstance(route, APIRoute)
}
# A listener of prometheus-client answers every path; this is the one that Prometheus asks.
WORKER_PORT, WORKER_PATHS = 9100, {"/metrics"}

# A tag that names one release: two numbers at least, and no word such as `latest` alone.
_RELEASE = re.compile(r"v?\d+\.\d+[\w.-]*")
# What libraries in our images read, besides our own settings.
_FOREIGN = re.compile(r"(OTEL|HF|NVIDIA)_\w+|PROMETHEUS_MULTIPROC_DIR|PATH|PYTHONDONTWRITEBYTECODE")


def composition(name: str = "compose.yaml") -> dict[str, Any]:
    """A compose file of the cluster, parsed."""
    return dict(yaml.safe_load((DEPLOY / "cluster" / name).read_text()))


def environment_of(service: Mapping[str, Any]) -> dict[str, str]:
    return dict(service.get("environment", {}))


def is_pinned(image: str) -> bool:
    """True if a digest, or the tag of one release, names the image."""
    name, _, digest = image.partition("@")
    if digest:
        return re.fullmatch(r"sha256:[0-9a-f]{64}", digest) is not None
    return _RELEASE.fullmatch(name.rpartition("/")[2].partition(":")[2]) is not None


def is_read(variable: str) -> bool:
    """True if a process of ours, or a library in it, reads the variable."""
    return variable in list_known_variables() or _FOREIGN.fullmatch(variable) is not None


def require_command(words: list[str]) -> None:
    """Fail unless the words are a command of ours, with queues that exist."""
    program, name, *rest = words
    assert program == "leadline"
    assert name in get_command(app).commands, name  # type: ignore[attr-defined]
    if "--queues" in rest:
        assert set(rest[rest.index("--queues") + 1].split(",")) <= set(QUEUE_NAMES)
