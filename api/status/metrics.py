"""`/metrics` for Prometheus: requests, and the current state of the catalog, the queues and the disk."""

import hmac
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import REGISTRY, Collector
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.admission.access import ServicesDep
from api.admission.services import Services
from api.http.problems import UnauthorizedError
from ingest.storage.generations.records import IndexState, ReplicaStatus
from ingest.storage.queue.records import JobKind
from ingest.storage.sources.records import SourceTotals, SyncState

_SECONDS = (0.005, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120, 600)
REQUESTS = Counter("leadline_http_requests", "Requests by method, route and status.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "leadline_http_request_seconds",
    "Duration of requests in seconds, including streams.",
    ["route"],
    buckets=_SECONDS,
)

router = APIRouter(tags=["health"])
_token = HTTPBearer(auto_error=False, description="LEADLINE_METRICS_TOKEN.", scheme_name="metricsToken")


@router.get("/metrics", response_class=Response)
def get_metrics(
    services: ServicesDep, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_token)] = None
) -> Response:
    """Return this process's metrics for Prometheus. Requires `LEADLINE_METRICS_TOKEN` as the bearer token.

    The metrics cover all tenants without naming any. If the setting is missing, no one can read them.
    """
    expected, given = services.settings.metrics_token, credentials.credentials if credentials else ""
    if expected is None or not hmac.compare_digest(given.encode(), expected.get_secret_value().encode()):
        raise UnauthorizedError(
            "Reading metrics requires the metrics token.",
            hint="Set LEADLINE_METRICS_TOKEN for the service, and send it as the bearer token.",
        )
    now = CollectorRegistry()
    now.register(_CurrentStateCollector(services))
    return Response(generate_latest(REGISTRY) + generate_latest(now), media_type=CONTENT_TYPE_LATEST)


class RequestMetrics:
    """Pure ASGI middleware that counts requests by route template.

    Paths are not used as labels, because they contain ids.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def send_and_record(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        finally:
            route = _get_route_template(scope)
            REQUESTS.labels(scope["method"], route, str(status)).inc()
            REQUEST_SECONDS.labels(route).observe(time.perf_counter() - started)


class _CurrentStateCollector(Collector):
    """Collects values that are computed when the metrics are scraped, such as the lengths of queues."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[GaugeMetricFamily]:
        jobs, free = self._services.jobs, shutil.disk_usage(self._services.settings.home).free
        waiting, now = jobs.count_unfinished_jobs(), time.time()
        yield _build_gauge(
            "leadline_queue_jobs", "Jobs queued or running.", ((kind.value, waiting.get(kind, 0)) for kind in JobKind)
        )
        yield _build_age_gauge(
            "leadline_queue_oldest_seconds",
            "Age of the oldest queued or running job; 0 if there is none.",
            now,
            jobs.find_oldest_unfinished_time,
        )
        yield _build_age_gauge(
            "leadline_queue_claimable_seconds",
            "Longest wait of a job that a worker could claim now; 0 if there is none.",
            now,
            jobs.find_oldest_claimable_time,
        )
        yield from _iter_index_gauges(self._services.health.index_state(), self._services.health.index_copies())
        if self._services.settings.slack_is_set:
            questions = self._services.slack.store.count_open_questions()
            yield GaugeMetricFamily(
                "leadline_slack_questions", "Questions from Slack that have no answer yet.", value=questions
            )
        yield from _iter_source_gauges(self._services.sources.sources.count_totals())
        yield GaugeMetricFamily("leadline_disk_free_bytes", "Free bytes on the disk of the data folder.", value=free)
        yield GaugeMetricFamily(
            "leadline_disk_uploads_refused",
            "1 while uploads are rejected because the disk is full.",
            value=free < self._services.settings.min_free_bytes,
        )
        if self._services.admission.ballast is not None:
            yield GaugeMetricFamily(
                "leadline_disk_ballast_bytes",
                "Disk space reserved by the ballast for deletions and for startup on a full disk.",
                value=self._services.admission.ballast.held_bytes,
            )


def _iter_source_gauges(totals: SourceTotals) -> Iterator[GaugeMetricFamily]:
    yield _build_gauge(
        "leadline_sources",
        "Sources, by the state of their latest synchronization.",
        ((state.value, totals.states.get(state, 0)) for state in SyncState),
        label="state",
    )
    yield GaugeMetricFamily(
        "leadline_source_items_refused",
        "Items of sources that could not be read or accepted when they were last tried.",
        value=totals.refused_items,
    )
    yield GaugeMetricFamily(
        "leadline_source_documents_failed",
        "Documents of sources that could not be processed.",
        value=totals.failed_documents,
    )
    yield GaugeMetricFamily(
        "leadline_source_overdue_seconds",
        "Longest time that a due synchronization has not been queued; 0 if there is none.",
        value=totals.overdue_seconds,
    )


def _iter_index_gauges(state: IndexState, replicas: Sequence[ReplicaStatus]) -> Iterator[GaugeMetricFamily]:
    values: dict[str, tuple[str, float]] = {
        "leadline_index_lost": ("1 while searches are rejected because the index lost documents.", bool(state.lost)),
        "leadline_index_documents": ("Documents compared by the last check of the index.", state.versions),
        "leadline_index_documents_missing": (
            "Documents that the last check found missing from the index.",
            state.missing,
        ),
        "leadline_index_documents_requeued": (
            "Total documents reindexed because the active index lacked them.",
            state.requeued,
        ),
        "leadline_index_shards": (
            "Shards of indexes on several nodes of a vector server, as of the last maintenance.",
            sum(each.shards for each in replicas),
        ),
        "leadline_index_shards_short": (
            "Shards with fewer active replicas than configured.",
            sum(each.short for each in replicas),
        ),
    }
    for name, (meaning, value) in values.items():
        yield GaugeMetricFamily(name, meaning, value=value)
    away = GaugeMetricFamily(
        "leadline_index_node_away", "1 for each node of the vector server that does not respond.", labels=["node"]
    )
    for node in sorted({node for each in replicas for node in each.away}):
        away.add_metric([node], 1)
    yield away


def _build_age_gauge(
    name: str, description: str, now: float, get_start_time: Callable[[JobKind], float | None]
) -> GaugeMetricFamily:
    started = {kind: get_start_time(kind) for kind in JobKind}
    return _build_gauge(
        name, description, ((kind.value, max(0.0, now - at) if at else 0.0) for kind, at in started.items())
    )


def _build_gauge(
    name: str, description: str, values: Iterable[tuple[str, float]], *, label: str = "kind"
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, description, labels=[label])
    for labelled, value in values:
        family.add_metric([labelled], value)
    return family


def _get_route_template(scope: Scope) -> str:
    """Return the template of a request's route.

    If no route matched, return `other`, so that arbitrary paths cannot create new series.
    """
    return str(getattr(scope.get("route"), "path", "other"))
