"""The Python client of a Leadline service: `Client`, and `AsyncClient` with the same methods to await.

Each method is written once, as the request that it makes and the schema that reads the reply, which is the server's
own. `docs/python.md` shows how to use it.
"""

from api.client.connections import AsyncClient, Client
from api.client.errors import (
    ForbiddenError,
    IdempotencyError,
    NoAnswerError,
    NotFoundError,
    QuotaError,
    RefusedError,
    ServerError,
    ServiceError,
    StateError,
    UnauthorizedError,
    UnavailableError,
)

__all__ = [
    "AsyncClient",
    "Client",
    "ForbiddenError",
    "IdempotencyError",
    "NoAnswerError",
    "NotFoundError",
    "QuotaError",
    "RefusedError",
    "ServerError",
    "ServiceError",
    "StateError",
    "UnauthorizedError",
    "UnavailableError",
]
