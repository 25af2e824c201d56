"""Everything that a client can ask for, each as its request and what reads the reply.

Questions and searches take the members of the server's own `QuestionIn` and `SearchIn`, or such an object. Whatever has
no method here can be asked for by its path, as JSON: `get`, `post`, `patch`, `delete`, `listed`, `events`, `follow`.
"""

from __future__ import annotations  # the schemas that annotations name are not imported for them

import json as json_module
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel, TypeAdapter

from api.client import schemas, stepping
from api.client.calls import (
    Call,
    CallSequence,
    FollowCall,
    Model,
    ModelReader,
    PagedCall,
    StreamCall,
    following,
    ignore_reply,
    listing,
    operation,
    read_json,
    stepwise,
    streaming,
)
from api.client.content import UploadContent

_PAGE_SIZE = 100
Priority = Literal["interactive", "bulk"]


class Operations:
    """The methods of `Client`, and of `AsyncClient` to be awaited."""

    # Asking and searching

    @operation
    def search(self, /, query: str | schemas.SearchIn, **members: Any) -> Call[schemas.SearchOut]:  # noqa: ANN401 - members of a search
        """Find the best passages for a query."""
        return Call(
            "POST",
            "/v1/search",
            ModelReader(schemas.SearchOut),
            body=_build_body("query", query, members),
            repeatable=True,
        )

    @operation
    def answer(
        self,
        /,
        question: str | schemas.QuestionIn = "",
        *,
        idempotency_key: str | None = None,
        **members: Any,  # noqa: ANN401
    ) -> Call[schemas.AnswerOut]:
        """Ask a question, or what `messages` end with, and wait for the whole answer."""
        call = Call(
            "POST", "/v1/answers", ModelReader(schemas.AnswerOut), body=_build_body("question", question, members)
        )
        return call.with_idempotency_key(idempotency_key)

    @streaming
    def stream_answer(
        self,
        /,
        question: str | schemas.QuestionIn = "",
        **members: Any,  # noqa: ANN401
    ) -> StreamCall[schemas.AnswerEvent]:
        """Ask a question, and see the answer as it is made; the last event is the whole `AnswerOut`.

        Leaving the block ends the service's work.
        """
        body = _build_body("question", question, {**members, "stream": True})
        return StreamCall(
            Call("POST", "/v1/answers", ignore_reply, body=body).with_idempotency_key(), _parse_answer_event
        )

    @operation
    def start_run(
        self,
        /,
        question: str | schemas.QuestionIn = "",
        *,
        idempotency_key: str | None = None,
        **members: Any,  # noqa: ANN401
    ) -> Call[schemas.RunWithAnswerOut]:
        """Have a question answered in the background, by a run that goes on without this connection."""
        body = _build_body("question", question, {**members, "background": True})
        call = Call("POST", "/v1/answers", ModelReader(schemas.RunWithAnswerOut), body=body)
        return call.with_idempotency_key(idempotency_key)

    @operation
    def kept_answer(self, answer: str) -> Call[schemas.AnswerOut]:
        """Show an answer that was kept."""
        return Call("GET", f"/v1/answers/{answer}", ModelReader(schemas.AnswerOut))

    @listing
    def rows_behind(self, answer: str) -> PagedCall[schemas.RowOut]:
        """Yield the records that a computed answer rests on."""
        return _build_paged_call(f"/v1/answers/{answer}/rows", schemas.RowPage, "rows")

    # Runs

    @operation
    def run(self, run: str) -> Call[schemas.RunWithAnswerOut]:
        """Show a run: its state, progress and usage, and its answer once there is one."""
        return Call("GET", f"/v1/runs/{run}", ModelReader(schemas.RunWithAnswerOut))

    @listing
    def runs(self, *, state: Sequence[str] = ()) -> PagedCall[schemas.RunOut]:
        """Yield runs, newest first."""
        return _build_paged_call("/v1/runs", schemas.RunPage, "runs", state=list(state))

    @following
    def follow_run(self, run: str) -> FollowCall[schemas.RunEventOut]:
        """Yield what a run does from its beginning; the last one is a `RunEndOut`, which has the run and its answer."""
        return FollowCall(f"/v1/runs/{run}/events", _parse_run_event)

    @operation
    def cancel_run(self, run: str) -> Call[schemas.RunWithAnswerOut]:
        """Stop a run, wherever it is worked at."""
        return Call("POST", f"/v1/runs/{run}/cancel", ModelReader(schemas.RunWithAnswerOut), body={}, repeatable=True)

    @operation
    def delete_run(self, run: str) -> Call[None]:
        """Remove a run that has ended."""
        return Call("DELETE", f"/v1/runs/{run}", ignore_reply)

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
    ) -> Call[schemas.UploadedOut]:
        """Upload a file, or bytes, which need a `name`. Sent again, the same bytes change nothing."""
        call = _build_upload(source, name, collection, priority, batch, metadata, readers)
        return Call("POST", "/v1/documents", ModelReader(schemas.UploadedOut), **call, repeatable=True)

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
    ) -> CallSequence[schemas.DocumentOut]:
        """Upload a large file: where its connection breaks, it goes on with what has not arrived."""
        about = _build_upload(source, name, collection, priority, batch, metadata, readers)["params"]
        about = {**about, "readers": json_module.dumps(about["readers"]) if readers else None}
        given = {("filename" if key == "name" else key): value for key, value in about.items() if value is not None}
        return CallSequence(lambda: stepping.upload_in_parts(UploadContent(source), given))

    @operation
    def document(self, document: str) -> Call[schemas.DocumentOut]:
        """Show a document: its state, progress, and the reason if it failed."""
        return Call("GET", f"/v1/documents/{document}", ModelReader(schemas.DocumentOut))

    @listing
    def documents(self, /, **filters: Any) -> PagedCall[schemas.DocumentOut]:  # noqa: ANN401 - parameters of the route
        """Yield documents: of a `collection`, `state`, `batch` or `container`, `named` so, in an `order`."""
        return _build_paged_call("/v1/documents", schemas.DocumentPage, "documents", **filters)

    @following
    def follow_document(self, document: str) -> FollowCall[schemas.DocumentOut | schemas.DocumentGoneOut]:
        """Yield the states of a document until it is ready, or has failed or gone."""
        return FollowCall(f"/v1/documents/{document}/events", _parse_document_state)

    @operation
    def change_document(
        self,
        /,
        document: str,
        *,
        if_match: str = "*",
        **changes: Any,  # noqa: ANN401 - `metadata`, `title`, `readers`
    ) -> Call[schemas.DocumentOut]:
        """Change `metadata`, `title` or `readers`; what is left out stays."""
        headers = {"If-Match": if_match}
        return Call(
            "PATCH", f"/v1/documents/{document}", ModelReader(schemas.DocumentOut), body=changes, headers=headers
        )

    @operation
    def replace_document(
        self,
        document: str,
        source: Path | bytes,
        *,
        name: str | None = None,
        priority: Priority = "interactive",
        if_match: str = "*",
    ) -> Call[schemas.UploadedOut]:
        """Replace the content; searches find the old one until the new one is ready."""
        content = UploadContent(source)
        params = {"name": name or (source.name if isinstance(source, Path) else None), "priority": priority}
        headers = {"If-Match": if_match}
        path = f"/v1/documents/{document}"
        return Call("PUT", path, ModelReader(schemas.UploadedOut), params=params, content=content, headers=headers)

    @operation
    def delete_document(self, document: str) -> Call[schemas.DeletionOut]:
        """Delete a document; the receipt says what became of what was made of it."""
        return Call("DELETE", f"/v1/documents/{document}", ModelReader(schemas.DeletionOut))

    @operation
    def cancel_document(self, document: str) -> Call[schemas.DocumentOut]:
        """Stop what is being made of a document."""
        return Call(
            "POST", f"/v1/documents/{document}/cancel", ModelReader(schemas.DocumentOut), body={}, repeatable=True
        )

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
    def positions(
        self, document: str, start: int, end: int, *, version: str | None = None
    ) -> Call[schemas.PositionsOut]:
        """Say where a span stands in the file: boxes on pages, or cells of sheets."""
        params = {"start": start, "end": end, "version": version}
        return Call("GET", f"/v1/documents/{document}/positions", ModelReader(schemas.PositionsOut), params=params)

    @listing
    def outline(self, document: str) -> PagedCall[schemas.OutlineEntryOut]:
        """Yield headings, pages, slides, sheets and tables, with their spans."""
        return _build_paged_call(f"/v1/documents/{document}/outline", schemas.OutlinePage, "entries")

    @listing
    def tables(self, document: str) -> PagedCall[schemas.TableOut]:
        """Yield the tables whose rows are records."""
        return _build_paged_call(f"/v1/documents/{document}/tables", schemas.TablePage, "tables")

    # Batches

    @operation
    def create_batch(
        self, name: str = "", *, expected: int | None = None, idempotency_key: str | None = None
    ) -> Call[schemas.BatchOut]:
        """Make a batch; uploads go into it with `batch`."""
        body = {"name": name, "expected": expected}
        return Call("POST", "/v1/batches", ModelReader(schemas.BatchOut), body=body).with_idempotency_key(
            idempotency_key
        )

    @operation
    def batch(self, batch: str) -> Call[schemas.BatchOut]:
        """Show a batch and how far its files are."""
        return Call("GET", f"/v1/batches/{batch}", ModelReader(schemas.BatchOut))

    @listing
    def batches(self) -> PagedCall[schemas.BatchOut]:
        """Yield batches, newest first."""
        return _build_paged_call("/v1/batches", schemas.BatchPage, "batches")

    @following
    def follow_batch(self, batch: str) -> FollowCall[schemas.BatchOut]:
        """Yield the states of a batch until all its files are at an end."""
        return FollowCall(f"/v1/batches/{batch}/events", lambda _, data: _parse_event(schemas.BatchOut, data))

    @listing
    def batch_failures(self, batch: str) -> PagedCall[schemas.BatchFailureOut]:
        """Yield the files that were refused or failed, with the reason."""
        return _build_paged_call(f"/v1/batches/{batch}/failures", schemas.BatchFailurePage, "failures")

    @operation
    def close_batch(self, batch: str) -> Call[schemas.BatchOut]:
        """Say that all files were sent."""
        return Call("POST", f"/v1/batches/{batch}/close", ModelReader(schemas.BatchOut), body={}, repeatable=True)

    @operation
    def cancel_batch(self, batch: str) -> Call[schemas.BatchOut]:
        """Take no more files, and stop those that are not ready."""
        return Call("POST", f"/v1/batches/{batch}/cancel", ModelReader(schemas.BatchOut), body={}, repeatable=True)

    # Conversations, and what the caller may see

    @listing
    def conversations(self) -> PagedCall[schemas.ConversationOut]:
        """Yield kept conversations, the one used last first."""
        return _build_paged_call("/v1/conversations", schemas.ConversationPage, "conversations")

    @operation
    def conversation(self, conversation: str) -> Call[schemas.ConversationWithTurnsOut]:
        """Show a conversation with its first turns."""
        return Call("GET", f"/v1/conversations/{conversation}", ModelReader(schemas.ConversationWithTurnsOut))

    @operation
    def delete_conversation(self, conversation: str) -> Call[None]:
        """Delete a conversation with its answers."""
        return Call("DELETE", f"/v1/conversations/{conversation}", ignore_reply)

    @operation
    def collections(self) -> Call[schemas.CollectionPage]:
        """List the collections that the caller may use."""
        return Call("GET", "/v1/collections", ModelReader(schemas.CollectionPage))

    @operation
    def me(self) -> Call[schemas.PrincipalOut]:
        """Say who the caller is."""
        return Call("GET", "/v1/me", ModelReader(schemas.PrincipalOut))

    @operation
    def status(self) -> Call[schemas.StatusOut]:
        """Count the caller's documents by state."""
        return Call("GET", "/v1/status", ModelReader(schemas.StatusOut))

    # By path, as JSON

    @operation
    def get(self, /, path: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Call[Any]:  # noqa: ANN401
        """Read what is at a path."""
        return Call("GET", path, read_json, params=params, headers=headers or {})

    @operation
    def post(self, path: str, body: Any, *, idempotency_key: str | None = None) -> Call[Any]:  # noqa: ANN401
        """Send JSON to a path."""
        return Call("POST", path, _read_json_or_none, body=body).with_idempotency_key(idempotency_key)

    @operation
    def patch(self, path: str, body: Any, *, if_match: str = "*") -> Call[Any]:  # noqa: ANN401
        """Change what is at a path, whatever state it is in unless `if_match` names one."""
        return Call("PATCH", path, read_json, body=body, headers={"If-Match": if_match})

    @operation
    def delete(self, path: str) -> Call[Any]:
        """Delete what is at a path."""
        return Call("DELETE", path, _read_json_or_none)

    @listing
    def listed(self, /, path: str, members: str, **params: Any) -> PagedCall[Any]:  # noqa: ANN401
        """Yield everything of a listing; `members` is the member of its pages that has them."""
        return PagedCall(Call("GET", path, read_json, params={"limit": _PAGE_SIZE, **params}), members)

    @streaming
    def events(self, path: str, body: Any) -> StreamCall[tuple[str, Any]]:  # noqa: ANN401
        """Yield server-sent events of a POST as `(name, data)`."""
        return StreamCall(
            Call("POST", path, ignore_reply, body=body).with_idempotency_key(),
            lambda name, data: (name, json_module.loads(data)),
        )

    @following
    def follow(self, path: str) -> FollowCall[Any]:
        """Yield the states that a route of events reports, from now to the end."""
        return FollowCall(path, lambda _, data: json_module.loads(data))


def _build_body(name: str, given: str | BaseModel, members: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of a request, of which the first may be an object with others of them."""
    if isinstance(given, BaseModel):
        return {**given.model_dump(mode="json", exclude_unset=True), **members}
    return {name: given, **members} if given else dict(members)


def _build_upload(
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
    return {"params": params, "content": UploadContent(source)}


def _build_paged_call(path: str, page: type[Model], members: str, **params: Any) -> PagedCall[Any]:  # noqa: ANN401
    return PagedCall(Call("GET", path, ModelReader(page), params=params), members)


def _parse_answer_event(name: str, data: str) -> schemas.AnswerEvent | None:
    kind = schemas.ANSWER_EVENTS.get(name)
    return None if kind is None else kind.model_validate_json(data, extra="ignore")


def _parse_run_event(name: str, data: str) -> schemas.RunEventOut:
    return _parse_event(schemas.RunEndOut if name == "end" else schemas.RunEventOut, data)


def _parse_document_state(_: str, data: str) -> schemas.DocumentOut | schemas.DocumentGoneOut:
    return _get_document_adapter().validate_json(data)


@cache
def _get_document_adapter() -> TypeAdapter[schemas.DocumentOut | schemas.DocumentGoneOut]:
    return TypeAdapter(schemas.DocumentOut | schemas.DocumentGoneOut)


def _parse_event(kind: type[Model], data: str) -> Model:
    return kind.model_validate_json(data, extra="ignore")


def _read_json_or_none(response: httpx.Response) -> Any:  # noqa: ANN401
    return response.json() if response.content else None
