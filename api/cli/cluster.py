"""`leadline api`, `worker`, `beat` and `migrate`: the processes of a cluster, configured by the environment."""

import logging
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import OpenCatalog, open_catalog
from api.cli import installation_notice
from api.cli.console import Console
from api.cli.console_logging import configure_logging
from api.cli.environment import (
    DATABASE,
    SettingsError,
    read_environment,
    read_secret,
    read_settings,
    require_known_variables,
)
from api.cli.telemetry import start_tracing
from api.settings.settings import Settings
from workers import metrics

_HOME = "LEADLINE_HOME"
_ALL_QUEUES = "ingest,embed,runs,sources,upkeep"


def api(
    host: Annotated[str | None, typer.Option(help="Listen on this address instead of LEADLINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen on this port instead of LEADLINE_PORT.")] = None,
) -> None:
    """Start an API process of a cluster.

    Requires LEADLINE_DATABASE_URL, LEADLINE_REDIS_URL, LEADLINE_QDRANT_URL and LEADLINE_HOME.
    """
    from api.build.cluster import open_cluster_services
    from api.cli.serving import serve_requests
    from workers.settings import ClusterSettings

    settings = read_settings(host=host, port=port)
    cluster = read_environment(ClusterSettings)
    _configure_logging(settings.log_format)
    start_tracing("api")
    console = Console()
    with ExitStack() as stack:
        services = stack.enter_context(open_cluster_services(settings, cluster))
        if not services.keys.list_keys(DEFAULT_TENANT):
            console.print("There are no API keys yet. Create one with `leadline keys create`.", highlight=False)
        serve_requests(services, lambda url: console.print(f"Leadline is listening on {url}", highlight=False))


def worker(
    queues: Annotated[str, typer.Option(help="The queues to serve, separated by commas.")] = _ALL_QUEUES,
    concurrency: Annotated[int, typer.Option(help="Number of processes; each loads its own encoder.", min=1)] = 1,
    name: Annotated[str, typer.Option(help="A name unique among the workers on this machine.")] = "leadline",
) -> None:
    """Start a Celery worker of a cluster.

    Run as many workers as you need. Each worker serves some or all queues.
    """
    settings = read_settings()
    from api.build.cluster import build_answer_service_opener, build_describer_opener, build_sync_task_opener
    from workers.enqueue.celery_app import QUEUE_NAMES
    from workers.main import run_worker
    from workers.settings import ClusterSettings

    chosen = [queue.strip() for queue in queues.split(",") if queue.strip()]
    unknown = set(chosen) - set(QUEUE_NAMES)
    if unknown or not chosen:
        problem = f"Unknown queue: {', '.join(sorted(unknown))}." if unknown else "No queue was given."
        raise SettingsError(problem, hint=f"The queues are {', '.join(QUEUE_NAMES)}.")
    cluster = read_environment(ClusterSettings)
    _configure_logging(settings.log_format)
    run_worker(
        cluster,
        queues=chosen,
        concurrency=concurrency,
        name=name,
        open_answers=build_answer_service_opener(settings),
        open_describer=build_describer_opener(settings),
        open_sync_task=build_sync_task_opener(settings),
        serve_metrics=_build_metrics_server(settings),
        on_child_start=partial(start_tracing, "worker"),  # The exporter's thread would not survive the fork.
    )


def _build_metrics_server(settings: Settings) -> Callable[[], object]:
    """Return a function that starts the metrics server, or does nothing if `LEADLINE_METRICS_PORT` is not set.

    Raises `SettingsError` if the port is set but `PROMETHEUS_MULTIPROC_DIR` is not.
    """
    if settings.metrics_port is None:
        return lambda: None
    if not metrics.is_multiprocess():
        raise SettingsError(
            "LEADLINE_METRICS_PORT requires PROMETHEUS_MULTIPROC_DIR, where worker processes combine their metrics.",
            hint="Set PROMETHEUS_MULTIPROC_DIR to an empty folder before starting the worker.",
        )
    return partial(metrics.start_metrics_server, settings.metrics_host, settings.metrics_port)


def beat() -> None:
    """Start the scheduler of a cluster, which triggers the recovery of lost jobs.

    One scheduler is enough. Running several is safe.
    """
    from workers.main import run_beat
    from workers.settings import ClusterSettings

    cluster = read_environment(ClusterSettings)
    _configure_logging(read_settings().log_format)
    run_beat(cluster)


def migrate() -> None:
    """Migrate the catalog to this release's schema.

    Requires LEADLINE_DATABASE_URL or LEADLINE_HOME. Every process also migrates the catalog when it starts. Run this
    command as a separate deployment step if a failed migration should stop the rollout before any process is replaced.
    """
    from ingest.storage.db.database import get_latest_revision

    with open_configured_catalog():
        Console().print(
            f"The catalog is at schema {get_latest_revision()}, the latest of this release.", highlight=False
        )


def open_configured_catalog() -> AbstractContextManager[OpenCatalog]:
    """Open the catalog of the cluster, or of the data folder if no cluster is configured."""
    url = read_secret(DATABASE, os.environ)
    if url:
        require_known_variables(os.environ)
    settings = read_settings()
    home = Path(os.environ.get(_HOME, "")) if url else settings.home
    if url:
        installation_notice.show_database()
    else:
        installation_notice.show_data_folder(home)
    return open_catalog(home, database_url=url, settings=settings)


def _configure_logging(log_format: str) -> None:
    configure_logging(logging.INFO, as_json=log_format == "json")
