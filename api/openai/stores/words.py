"""Errors about collections and batches, in the words of OpenAI's protocol: vector stores and file batches."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from ingest.storage.errors import BatchNotFoundError, CollectionNotFoundError

_COLLECTION, _BATCH = "Collection ", "Batch "


class VectorStoreNotFoundError(CollectionNotFoundError):
    """The tenant has no collection that can be used as this vector store, or the principal may not see it."""

    default_hint = "List the vector stores with GET /v1/vector_stores."


class FileBatchNotFoundError(BatchNotFoundError):
    """The vector store has no such file batch."""

    default_hint = "The reply to POST /v1/vector_stores/{id}/file_batches has the id of the batch."


@contextmanager
def rename_missing_stores(field: str | None) -> Iterator[None]:
    """Convert errors about a missing collection or batch to errors about a vector store in the request's `field`."""
    try:
        yield
    except (VectorStoreNotFoundError, FileBatchNotFoundError):
        raise
    except CollectionNotFoundError as error:
        renamed = VectorStoreNotFoundError(f"Vector store {error.detail.removeprefix(_COLLECTION)}")
        renamed.at = field
        raise renamed from error
    except BatchNotFoundError as error:
        missing = FileBatchNotFoundError(f"File batch {error.detail.removeprefix(_BATCH)}")
        missing.at = "path.batch_id"
        raise missing from error


class StoreRoute(APIRoute):
    """A route whose errors speak of vector stores."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def handle_request(request: Request) -> Response:
            with rename_missing_stores("path.vector_store_id" if request.path_params else None):
                response: Response = await handle(request)
                return response

        return handle_request
