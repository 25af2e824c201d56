"""Everything that a client can ask for, each as its request and what reads the reply.

Questions and searches take the members of the server's own `QuestionIn` and `SearchIn`, or such an object. Whatever has
no method here can be asked for by its path, as JSON: `get`, `post`, `patch`, `delete`, `listed`, `events`, `follow`.
"""

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, TypeAdapter

from api.answer_schemas import AnswerOut, QuestionIn
from api.batch_schemas import BatchFailureOut, BatchFailurePage, BatchOut, BatchPage
from api.client import stepping
from api.client.calls import (
    Call,
    Followed,
    Listing,
    Model,
    Steps,
    Streamed,
    following,
    json,
    listing,
    model,
    nothing,
    operation,
    stepwise,
    streaming,
)
from api.client.content import Content
from api.collection_schemas import CollectionPage
from api.content_schemas import OutlineEntryOut, OutlinePage, PositionsOut, TableOut, TablePage
from api.conversation_schemas import (
    ConversationOut,
    ConversationPage,
    ConversationWithTurnsOut,
    RowOut,
    RowPage,
)
from api.event_schemas import ANSWER_EVENTS, AnswerEvent
from api.identity_schemas import PrincipalOut
from api.run_schemas import RunEndOut, RunEventOut, RunOut, RunPage, RunWithAnswerOut
from api.schemas import (
    DeletionOut,
    DocumentGoneOut,
    DocumentOut,
    DocumentPage,
    StatusOut,
    UploadedOut,
)
from api.search_schemas import SearchIn, SearchOut

_PAGE = 100
_DOCUMENT: TypeAdapter[DocumentOut | DocumentGoneOut] = TypeAdapter(DocumentOut | DocumentGoneOut)
Priority = Literal["interactive", "bulk"]


class Operations:
    """The methods of `Client`, and of `AsyncClient` to be awaited."""

    # Asking and searching

    @operation
    def search(self, /, query: str | SearchIn, **members: Any) -> Call[SearchOut]:  # noqa: ANN401 - members of a search
        """Find the best passages for a query."""
        return Call("POST", "/v1/search", model(SearchOut), body=_body("query", query, members), repeatable=True)

    @operation
    def answer(
        self,
        /,
        question: str | QuestionIn = "",
        *,
        idempotency_key: str | None = None,
        **members: Any,  # noqa: ANN401
    ) -> Call[AnswerOut]:
        """Ask a question, or what `messages` end with, and wait for the whole answer."""
        call = Call("POST", "/v1/answers", model(AnswerOut), body=_body("question", question, members))
        return call.keyed(idempotency_key)

    @streaming
    def stream_answer(self, /, question: str | QuestionIn = "", **members: Any) -> Streamed[AnswerEvent]:  # noqa: ANN401
        """Ask a question, and see the answer as it is made; the last event is the whole `AnswerOut`.

        Leaving the block ends the service's work.
        """
        body = _body("question", question, {**members, "stream": True})
        return Streamed(Call("POST", "/v1/answers", nothing, body=body).keyed(), _answer_event)

    @operation
    def start_run(
        self,
        /,
        question: str | QuestionIn = "",
        *,
        idempotency_key: str | None = None,
        **members: Any,  # noqa: ANN401
    ) -> Call[RunWithAnswerOut]:
        """Have a question answered in the background, by a run that goes on without this connection."""
        body = _body("question", question, {**members, "background": True})
        call = Call("POST", "/v1/answers", model(RunWithAnswerOut), body=body)
        return call.keyed(idempotency_key)

    @operation
    def kept_answer(self, answer: str) -> Call[AnswerOut]:
        """Show an answer that was kept."""
        return Call("GET", f"/v1/answers/{answer}", model(AnswerOut))

    @listing
    def rows_behind(self, answer: str) -> Listing[RowOut]:
        """Yield the records that a computed answer rests on."""
        return _listing(f"/v1/answers/{answer}/rows", RowPage, "rows")

    # Runs

    @operation
    def run(self, run: str) -> Call[RunWithAnswerOut]:
        """Show a run: its state, progress and usage, and its answer once there is one."""
        return Call("GET", f"/v1/runs/{run}", model(RunWithAnswerOut))

    @listing
    def runs(self, *, state: Sequence[str] = ()) -> Listing[RunOut]:
        """Yield runs, newest first."""
        return _listing("/v1/runs", RunPage, "runs", state=list(state))

    @following
    def follow_run(self, run: str) -> Followed[RunEventOut]:
        """Yield what a run does from its beginning; the last one is a `RunEndOut`, which has the run and its answer."""
        return Followed(f"/v1/runs/{run}/events", _run_event)

    @operation
    def cancel_run(self, run: str) -> Call[RunWithAnswerOut]:
        """Stop a run, wherever it is worked at."""
        return Call("POST", f"/v1/runs/{run}/cancel", model(RunWithAnswerOut), body={}, repeatable=True)

    @operation
    def delete_run(self, run: str) -> Call[None]:
        """Remove a run that has ended."""
        return Call("DELETE", f"/v1/runs/{run}", nothing)

    # Documents

    @operation
    def upload(
        self,
        source: Path | bytes,
        *,
        name: str | None = None,
        collection: str = "default",
        priority: Priority = "interactive",
        batch: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        readers: Sequence[str] | None = None,
    ) -> Call[UploadedOut]:
        """Upload a file, or bytes, which need a `name`. Sent again, the same bytes change nothing."""
        call = _upload(source, name, collection, priority, batch, metadata, readers)
        return Call("POST", "/v1/documents", model(UploadedOut), **call, repeatable=True)

    @stepwise
    def upload_resumable(
        self,
        source: Path | bytes,
        *,
        name: str | None = None,
        collection: str = "default",
        priority: Priority = "interactive",
        batch: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        readers: Sequence[str] | None = None,
    ) -> Steps[DocumentOut]:
        """Upload a large file: where its connection breaks, it goes on with what has not arrived."""
        about = _upload(source, name, collection, priority, batch, metadata, readers)["params"]
        about = {**about, "readers": json_module.dumps(about["readers"]) if readers else None}
        given = {("filename" if key == "name" else key): value for key, value in about.items() if value is not None}
        return Steps(lambda: stepping.upload(Content(source), given))

    @operation
    def document(self, document: str) -> Call[DocumentOut]:
        """Show a document: its state, progress, and the reason if it failed."""
        return Call("GET", f"/v1/documents/{document}", model(DocumentOut))

    @listing
    def documents(self, /, **filters: Any) -> Listing[DocumentOut]:  # noqa: ANN401 - parameters of the route
        """Yield documents: of a `collection`, `state`, `batch` or `container`, `named` so, in an `order`."""
        return _listing("/v1/documents", DocumentPage, "documents", **filters)

    @following
    def follow_document(self, document: str) -> Followed[DocumentOut | DocumentGoneOut]:
        """Yield the states of a document until it is ready, or has failed or gone."""
        return Followed(f"/v1/documents/{document}/events", lambda _, data: _DOCUMENT.validate_json(data))

    @operation
    def change_document(
        self,
        /,
        document: str,
        *,
        if_match: str = "*",
        **changes: Any,  # noqa: ANN401 - `metadata`, `title`, `readers`
    ) -> Call[DocumentOut]:
        """Change `metadata`, `title` or `readers`; what is left out stays."""
        headers = {"If-Match": if_match}
        return Call("PATCH", f"/v1/documents/{document}", model(DocumentOut), body=changes, headers=headers)

    @operation
    def replace_document(
        self, document: str, source: Path | bytes, *, name: str | None = None, if_match: str = "*"
    ) -> Call[UploadedOut]:
        """Replace the content; searches find the old one until the new one is ready."""
        content = Content(source)
        params = {"name": name or (source.name if isinstance(source, Path) else None)}
        headers = {"If-Match": if_match}
        path = f"/v1/documents/{document}"
        return Call("PUT", path, model(UploadedOut), params=params, content=content, headers=headers)

    @operation
    def delete_document(self, document: str) -> Call[DeletionOut]:
        """Delete a document; the receipt says what became of what was made of it."""
        return Call("DELETE", f"/v1/documents/{document}", model(DeletionOut))

    @operation
    def cancel_document(self, document: str) -> Call[DocumentOut]:
        """Stop what is being made of a document."""
        return Call("POST", f"/v1/documents/{document}/cancel", model(DocumentOut), body={}, repeatable=True)

    @operation
    def text(self, document: str, *, start: int = 0, end: int | None = None) -> Call[str]:
        """Read the text that citations count in, or a span of it."""
        params = {"start": start or None, "end": end}
        return Call("GET", f"/v1/documents/{document}/content", lambda response: response.text, params=params)

    @operation
    def original(self, document: str) -> Call[bytes]:
        """Read the bytes that were uploaded."""
        return Call("GET", f"/v1/documents/{document}/original", lambda response: response.content)

    @operation
    def positions(self, document: str, start: int, end: int, *, version: str | None = None) -> Call[PositionsOut]:
        """Say where a span stands in the file: boxes on pages, or cells of sheets."""
        params = {"start": start, "end": end, "version": version}
        return Call("GET", f"/v1/documents/{document}/positions", model(PositionsOut), params=params)

    @listing
    def outline(self, document: str) -> Listing[OutlineEntryOut]:
        """Yield headings, pages, slides, sheets and tables, with their spans."""
        return _listing(f"/v1/documents/{document}/outline", OutlinePage, "entries")

    @listing
    def tables(self, document: str) -> Listing[TableOut]:
        """Yield the tables whose rows are records."""
        return _listing(f"/v1/documents/{document}/tables", TablePage, "tables")

    # Batches

    @operation
    def create_batch(
        self, name: str = "", *, expected: int | None = None, idempotency_key: str | None = None
    ) -> Call[BatchOut]:
        """Make a batch; uploads go into it with `batch`."""
        body = {"name": name, "expected": expected}
        return Call("POST", "/v1/batches", model(BatchOut), body=body).keyed(idempotency_key)

    @operation
    def batch(self, batch: str) -> Call[BatchOut]:
        """Show a batch and how far its files are."""
        return Call("GET", f"/v1/batches/{batch}", model(BatchOut))

    @listing
    def batches(self) -> Listing[BatchOut]:
        """Yield batches, newest first."""
        return _listing("/v1/batches", BatchPage, "batches")

    @following
    def follow_batch(self, batch: str) -> Followed[BatchOut]:
        """Yield the states of a batch until all its files are at an end."""
        return Followed(f"/v1/batches/{batch}/events", lambda _, data: _parsed(BatchOut, data))

    @listing
    def batch_failures(self, batch: str) -> Listing[BatchFailureOut]:
        """Yield the files that were refused or failed, with the reason."""
        return _listing(f"/v1/batches/{batch}/failures", BatchFailurePage, "failures")

    @operation
    def close_batch(self, batch: str) -> Call[BatchOut]:
        """Say that all files were sent."""
        return Call("POST", f"/v1/batches/{batch}/close", model(BatchOut), body={}, repeatable=True)

    @operation
    def cancel_batch(self, batch: str) -> Call[BatchOut]:
        """Take no more files, and stop those that are not ready."""
        return Call("POST", f"/v1/batches/{batch}/cancel", model(BatchOut), body={}, repeatable=True)

    # Conversations, and what the caller may see

    @listing
    def conversations(self) -> Listing[ConversationOut]:
        """Yield kept conversations, the one used last first."""
        return _listing("/v1/conversations", ConversationPage, "conversations")

    @operation
    def conversation(self, conversation: str) -> Call[ConversationWithTurnsOut]:
        """Show a conversation with its first turns."""
        return Call("GET", f"/v1/conversations/{conversation}", model(ConversationWithTurnsOut))

    @operation
    def delete_conversation(self, conversation: str) -> Call[None]:
        """Delete a conversation with its answers."""
        return Call("DELETE", f"/v1/conversations/{conversation}", nothing)

    @operation
    def collections(self) -> Call[CollectionPage]:
        """List the collections that the caller may use."""
        return Call("GET", "/v1/collections", model(CollectionPage))

    @operation
    def me(self) -> Call[PrincipalOut]:
        """Say who the caller is."""
        return Call("GET", "/v1/me", model(PrincipalOut))

    @operation
    def status(self) -> Call[StatusOut]:
        """Count the caller's documents by state."""
        return Call("GET", "/v1/status", model(StatusOut))

    # By path, as JSON

    @operation
    def get(self, /, path: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Call[Any]:  # noqa: ANN401
        """Read what is at a path."""
        return Call("GET", path, json, params=params, headers=headers or {})

    @operation
    def post(self, path: str, body: Any, *, idempotency_key: str | None = None) -> Call[Any]:  # noqa: ANN401
        """Send JSON to a path."""
        return Call("POST", path, _json_or_nothing, body=body).keyed(idempotency_key)

    @operation
    def patch(self, path: str, body: Any, *, if_match: str = "*") -> Call[Any]:  # noqa: ANN401
        """Change what is at a path, whatever state it is in unless `if_match` names one."""
        return Call("PATCH", path, json, body=body, headers={"If-Match": if_match})

    @operation
    def delete(self, path: str) -> Call[Any]:
        """Delete what is at a path."""
        return Call("DELETE", path, _json_or_nothing)

    @listing
    def listed(self, /, path: str, members: str, **params: Any) -> Listing[Any]:  # noqa: ANN401
        """Yield everything of a listing; `members` is the member of its pages that has them."""
        return Listing(Call("GET", path, json, params={"limit": _PAGE, **params}), members)

    @streaming
    def events(self, path: str, body: Any) -> Streamed[tuple[str, Any]]:  # noqa: ANN401
        """Yield server-sent events of a POST as `(name, data)`."""
        return Streamed(
            Call("POST", path, nothing, body=body).keyed(), lambda name, data: (name, json_module.loads(data))
        )

    @following
    def follow(self, path: str) -> Followed[Any]:
        """Yield the states that a route of events reports, from now to the end."""
        return Followed(path, lambda _, data: json_module.loads(data))


def _body(name: str, given: str | BaseModel, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a request, of which the first may be an object with others of them."""
    if isinstance(given, BaseModel):
        return {**given.model_dump(mode="json", exclude_unset=True), **members}
    return {name: given, **members} if given else dict(members)


def _upload(
    source: Path | bytes,
    name: str | None,
    collection: str,
    priority: str,
    batch: str | None,
    metadata: Mapping[str, Any] | None,
    readers: Sequence[str] | None,
) -> dict[str, Any]:
    params: dict[str, Any] = {
        "name": name or (source.name if isinstance(source, Path) else "unnamed"),
        "collection": collection,
        "priority": priority,
        "batch": batch,
        "metadata": json_module.dumps(dict(metadata)) if metadata else None,
        "readers": list(readers) if readers else None,
    }
    return {"params": params, "content": Content(source)}


def _listing(path: str, page: type[Model], members: str, **params: Any) -> Listing[Any]:  # noqa: ANN401
    return Listing(Call("GET", path, model(page), params=params), members)


def _answer_event(name: str, data: str) -> AnswerEvent | None:
    kind = ANSWER_EVENTS.get(name)
    return None if kind is None else kind.model_validate_json(data, extra="ignore")


def _run_event(name: str, data: str) -> RunEventOut:
    return _parsed(RunEndOut if name == "end" else RunEventOut, data)


def _parsed(kind: type[Model], data: str) -> Model:
    return kind.model_validate_json(data, extra="ignore")


def _json_or_nothing(response: httpx.Response) -> Any:  # noqa: ANN401
    return response.json() if response.content else None
