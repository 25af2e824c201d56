"""Builds the FastAPI application from the services."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from api.accounts import key_routes as keys
from api.accounts import people_routes as people
from api.accounts import session_routes as sessions
from api.accounts import tenant_routes as tenants
from api.accounts import user_routes as users
from api.accounts.session_refresh import open_refresher
from api.admission.access import get_account
from api.admission.admission import Authentication, Identify, TenantLimiter
from api.admission.anonymous import AnonymousLimiter, AnonymousLimits
from api.admission.cookies import SessionCookie
from api.admission.disk_gate import DiskGate
from api.admission.idempotency import Idempotency
from api.admission.quota_headers import RequestQuotas
from api.admission.services import Services
from api.admission.turns import TenantSlots
from api.answers import conversation_routes as conversations
from api.answers import routes as answers
from api.answers.detached import DetachedAnswers
from api.answers.taking_up import take_up_interrupted_answers
from api.answers.usual_times import UsualTimes
from api.audit import routes as audit
from api.collections import routes as collections
from api.documents import access_routes as document_access
from api.documents import batch_routes as batches
from api.documents import card_routes as cards
from api.documents import content_routes as contents
from api.documents import listing_routes as listing
from api.documents import routes as documents
from api.documents import upload_routes as uploads
from api.feedback import routes as feedback
from api.http.bounds import BodyLimiter, HeadLimiter
from api.http.conditional import ConditionalResponses
from api.http.middleware import ProblemResponses, RequestContext
from api.http.problem_schemas import PROBLEMS
from api.http.problems import ProblemHandlers, StreamsFullError, TooManyRequestsError
from api.http.threads import AnswerThreads, Threads
from api.http.unknown import reject_unknown_parameters
from api.mcp import endpoint
from api.openai import chat_routes as openai_chat
from api.openai import conversations_routes as openai_conversations
from api.openai import embeddings_routes as openai_embeddings
from api.openai import responses_routes as openai_responses
from api.openai.elsewhere import get_alternative_hint, is_openai_path
from api.openai.stores import files_routes as openai_files
from api.openai.stores import store_files_routes as openai_store_files
from api.openai.stores import vector_stores_routes as openai_vector_stores
from api.portal import pages
from api.portal.citation_links import CitationLinks
from api.portal.rendering import render_problem_page
from api.runs import routes as runs
from api.search import routes as search
from api.settings.settings import Settings
from api.shares import routes as shares
from api.slack import state_routes as slack_state
from api.sources import routes as sources
from api.sources import url_routes
from api.status import docs_routes as docs
from api.status import metrics
from api.status import routes as health
from api.status import settings_routes as settings_in_force
from api.status.description import TAGS, get_operation_id
from api.status.metrics import RequestMetrics
from api.suggestions import routes as suggestions
from api.usage import routes as usage
from api.webhooks import routes as webhooks
from ingest.storage.accounts.records import Principal
from ingest.storage.quotas.records import QuotaStatus

if TYPE_CHECKING:
    from api.slack.app import SlackApp

DESCRIPTION = """Answers questions about your documents, and shows where each sentence of an answer comes from and
how it was checked.

Every request except `/health` needs `Authorization: Bearer <key>` or a session cookie. Errors are
`application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): `code` is stable, and `hint` says
what to do next."""

# Number of threads for key lookups and health checks. These threads are separate from the threads of all other
# requests.
_KEY_THREADS = 4
_HEALTH_THREADS = 4
_REFRESH_THREADS = 4
_IDEMPOTENCY_THREADS = 4
# Number of suggestions that are made at once. Further requests get none, and their pages show none.
_SUGGESTIONS_AT_ONCE = 4
# Number of threads that write uploads to disk.
_UPLOAD_THREADS = 16
# Maximum number of one tenant's requests that may wait for a slot.
_MAX_WAITING = 256
# Processors that are busy with searches do not become faster while more wait: with the search itself, a client gets its
# results or a 429 within about a second.
_COMPUTED_SEARCH_WAIT_SECONDS = 0.8
# Response headers that scripts of other origins may read: those of resumable uploads, and those of every response.
_EXPOSED_HEADERS = (
    *("Location", "Content-Location", "Tus-Resumable", "Tus-Version", "Tus-Extension", "Tus-Max-Size"),
    *("Tus-Checksum-Algorithm", "Upload-Offset", "Upload-Length", "Upload-Expires", "Upload-Metadata"),
    *("ETag", "Retry-After", "X-Request-Id", "Idempotent-Replayed"),
)
# Fraction of all open requests without a key that one address may have, as a divisor: 1/8.
_ANONYMOUS_DIVISOR = 8


def create_app(services: Services) -> FastAPI:
    """Create the application. The caller opens and closes the services."""
    slack = _open_slack_app(services)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # Searches run in the threads of other requests, whose number is sufficient for `LEADLINE_WORK_AT_ONCE`.
        anyio.to_thread.current_default_thread_limiter().total_tokens += compute_max_concurrent_searches(services)
        if slack is not None:
            await slack.start()
        try:
            async with take_up_interrupted_answers(services, detached_answers):
                yield
        finally:
            await detached_answers.close()
            if slack is not None:
                await slack.stop()

    answer_threads = AnswerThreads(services.settings.answers_at_once)
    detached_answers = DetachedAnswers(services, answer_threads)
    app = FastAPI(
        title="Leadline",
        version=version("leadline"),
        license_info={"name": "Apache 2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        description=DESCRIPTION,
        servers=[{"url": services.settings.public_url or "/"}],
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        responses=PROBLEMS,
        generate_unique_id_function=get_operation_id,
        dependencies=[Depends(reject_unknown_parameters)],
    )
    app.state.services = services
    app.state.answer_threads = answer_threads
    app.state.suggestion_threads = AnswerThreads(_SUGGESTIONS_AT_ONCE)
    app.state.detached_answers = detached_answers
    app.state.usual_times = UsualTimes(lambda: services.answers.conversations.list_recent_times())
    app.state.health_threads = Threads(_HEALTH_THREADS)
    app.state.upload_threads = Threads(_UPLOAD_THREADS)
    settings = services.settings
    app.state.streams = TenantSlots(
        settings.streams_at_once,
        max_slots_per_tenant=settings.streams_of_tenant,
        build_error=StreamsFullError,
        max_waiting=0,
    )
    problems = ProblemHandlers(get_alternative_hint, is_openai_path, render_problem_page)
    identify = _add_middleware(app, services, problems)
    problems.install(app)
    for route in (
        listing,
        cards,
        url_routes,
        documents,
        document_access,
        contents,
        batches,
        uploads,
        search,
        audit,
        health,
        metrics,
    ):
        app.include_router(route.router)
    # Paths with the prefix `conv_` also match the paths of the other routes for conversations, so they come first.
    app.include_router(openai_conversations.router)
    for route in (answers, suggestions, feedback, conversations, shares, runs, usage):
        app.include_router(route.router)
    for route in (
        settings_in_force,
        slack_state,
        collections,
        keys,
        users,
        people,
        tenants,
        sessions,
        webhooks,
        sources,
    ):
        app.include_router(route.router)
    for route in (openai_chat, openai_responses, openai_embeddings):
        app.include_router(route.router)
    for route in (openai_files, openai_vector_stores, openai_store_files):
        app.include_router(route.router)
    if slack is not None:
        app.include_router(slack.router)
    endpoint.install_endpoint(app, services, identify)
    pages.install_pages(app)
    docs.add_docs_page(app)
    return app


def _open_slack_app(services: Services) -> "SlackApp | None":
    """Return the Slack app, or None if it is not configured.

    The app is only imported if it is configured, because its libraries are an optional extra.
    """
    if not services.settings.slack_is_set:
        return None
    from api.slack.app import SlackApp

    return SlackApp(services)


def _add_middleware(app: FastAPI, services: Services, problems: ProblemHandlers) -> Identify:
    """Add the middleware. The last one added is the outermost, so they are added from the inside out."""
    settings, key_threads = services.settings, Threads(_KEY_THREADS)
    app.state.key_threads = key_threads

    async def identify(credential: str) -> Principal | None:
        return await key_threads.run(services.identify_caller, credential)

    # These threads wait for the identity provider, so they are not those that check keys.
    refresher, refresh_threads = open_refresher(services), Threads(_REFRESH_THREADS)

    async def identify_session(secret: str) -> Principal | None:
        session = await key_threads.run(services.accounts.sessions.find_session, secret)
        if session is None or refresher is None or not refresher.is_due(session):
            return None if session is None else session.principal
        await refresh_threads.run(refresher.refresh_session, secret)
        return await key_threads.run(services.accounts.sessions.authenticate, secret)

    async def count_request(caller: Principal) -> Sequence[QuotaStatus]:
        account = get_account(caller)
        if not services.admission.meter.may_have_request_quota(account):
            return ()  # Usually, there is no quota, and a thread switch would take as long as counting.
        return await key_threads.run(services.admission.meter.count_request, account)

    waits: dict[str, Any] = {
        "build_error": TooManyRequestsError,
        "max_waiting": _MAX_WAITING,
        "max_wait_seconds": settings.turn_seconds,
    }
    app.add_middleware(ConditionalResponses)
    app.add_middleware(Idempotency, keys=services.admission.idempotency, threads=Threads(_IDEMPOTENCY_THREADS))
    app.add_middleware(
        TenantLimiter,
        work=TenantSlots(settings.work_at_once or _compute_max_concurrent_requests(), **waits),
        uploads=TenantSlots(settings.uploads_at_once, **waits),
        searches=TenantSlots(
            compute_max_concurrent_searches(services), **{**waits, "max_wait_seconds": get_search_wait(services)}
        ),
    )
    app.add_middleware(
        BodyLimiter,
        max_bytes=settings.max_body_bytes,
        idle_seconds=settings.body_idle_seconds,
        bytes_per_second=settings.body_bytes_per_second,
    )
    app.add_middleware(RequestQuotas, count=count_request)
    if services.admission.ballast is not None:
        app.add_middleware(
            DiskGate, ballast=services.admission.ballast, has_room=services.contents.blobs.has_processing_space
        )
    app.add_middleware(AnonymousLimiter, limits=_build_anonymous_limits(settings))
    app.add_middleware(
        Authentication, identify=identify, in_session=identify_session, cookie=SessionCookie.from_settings(settings)
    )
    app.add_middleware(CitationLinks)
    app.add_middleware(HeadLimiter, requests_at_once=settings.open_requests)
    app.add_middleware(ProblemResponses, problems=problems)
    if settings.origins:
        # Without credentials, a browser sends no session cookie: a page of another origin needs a key of its own.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
            allow_headers=("*",),
            expose_headers=_EXPOSED_HEADERS,
        )
    app.add_middleware(RequestMetrics)
    app.add_middleware(RequestContext, problems=problems, leaving=lambda: not services.accepting)
    return identify


def _build_anonymous_limits(settings: Settings) -> AnonymousLimits:
    return AnonymousLimits(
        body_bytes=settings.max_body_bytes,
        all_bytes=settings.anonymous_bytes,
        at_once=max(1, settings.open_requests // _ANONYMOUS_DIVISOR),
        per_minute=settings.anonymous_per_minute,
        sign_ins_per_minute=settings.sign_ins_per_minute,
    )


def compute_max_concurrent_searches(services: Services) -> int:
    """Return the number of searches that run concurrently: by default at most one for each processor, but at least 2.

    While more of them compute than there are processors, each takes longer, and one tenant's searches slow down those
    of another. If searches wait for servers, there may be as many of them as of other requests.
    """
    settings = services.settings
    requests = settings.work_at_once or _compute_max_concurrent_requests()
    return settings.searches_at_once or (max(2, os.cpu_count() or 1) if services.computes_searches else requests)


def get_search_wait(services: Services) -> float:
    """Return how long a search waits for a slot, in seconds.

    If searches wait for a vector server, one that hangs occupies their slots for seconds, until the others answer
    instead of it. Searches that were rejected meanwhile would have succeeded.
    """
    chosen, others = services.settings.search_turn_seconds, services.settings.turn_seconds
    if chosen is not None:
        return chosen
    return min(_COMPUTED_SEARCH_WAIT_SECONDS, others) if services.computes_searches else others


def _compute_max_concurrent_requests() -> int:
    """Return the number of requests that run concurrently: twice the number of processors, but 4 to 32.

    More concurrent requests would slow each other down, and tenants would wait for each other.
    """
    return max(4, min(32, 2 * (os.cpu_count() or 1)))
