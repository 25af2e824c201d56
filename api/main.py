"""The REST application, made from services; and the embedded service as a server process."""

from fastapi import FastAPI

from api import metrics, problems
from api.answer_threads import AnswerThreads
from api.metrics import Measured
from api.middleware import RequestContext
from api.problem_schemas import PROBLEMS
from api.routes import answers, batches, conversations, documents, health, runs, search
from api.services import Services

DESCRIPTION = """Ask a body of documents, and see where each sentence of the answer comes from and how it was checked.

Every request but `/health` needs `Authorization: Bearer <key>`. Every error is `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): `code` is stable, `hint` says what to do next."""


def create_app(services: Services) -> FastAPI:
    """Make the application over one set of services, which the caller opens and closes."""
    app = FastAPI(title="Leadline", version="0.1.0", description=DESCRIPTION)
    app.state.services = services
    app.state.answer_threads = AnswerThreads(services.settings.answers_at_once)
    app.add_middleware(Measured)
    app.add_middleware(RequestContext)
    problems.install(app)
    for route in (documents, batches, search, health, metrics):
        app.include_router(route.router)
    for route in (answers, conversations, runs):
        app.include_router(route.router, responses=PROBLEMS)
    return app
