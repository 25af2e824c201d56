"""The Python client of a Leadline service: `Client`, and `AsyncClient` with the same methods for asyncio.

Each method is defined once for both clients, as the request it sends and the server's schema that parses the response.
For a guide, see `docs/python.md`.
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
