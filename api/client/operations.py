"""The methods of both clients. Each method is defined by its request and the parser for the response.

Methods for questions and searches accept a `QuestionIn` or `SearchIn`, or its fields as keyword arguments. Other routes
can be called by path, with JSON: `get`, `post`, `patch`, `delete`, `listed`, `events`, `follow`.
"""

from __future__ import annotations  # Keeps annotations from importing the schemas at runtime.

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
    ignore_response,
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
    """The methods of `Client` and `AsyncClient`.

    `Client` returns results and iterators directly. With `AsyncClient`, await results, iterate with `async for`, and
    open streams with `async with`. Every method raises `ServiceError` or one of its subclasses if the request fails.
    """

    # Questions and searches

    @operation
    def search(self, /, query: str | schemas.SearchIn, **members: Any) -> Call[schemas.SearchOut]:  # noqa: ANN401 - members of a search
        """Search for passages.

        Args:
            query: The query, or a `SearchIn` with all parameters.
            **members: Fields of `SearchIn`, such as `top_k`, `mode`, `collections`, `filters` or `rerank`.

        Returns:
            The hits, best first, with their scores and locations.

        Raises:
            RefusedError: If the query or a parameter is invalid.
        """
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
        """Ask a question and wait for the complete answer.

        Args:
            question: The question, or a `QuestionIn` with all parameters. To continue a conversation, omit it and
                pass `messages` that end with the question.
            idempotency_key: Your own idempotency key. By default, each call generates a key and uses it for all tries.
            **members: Fields of `QuestionIn`, such as `collections`, `filters`, `strategy`, `budget` or `conversation`.

        Returns:
            The answer with its citations and checked sentences.

        Raises:
            RefusedError: If the question is invalid, or too expensive without `confirm` or a `budget`.
            QuotaError: If a quota or rate limit is exceeded.
        """
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
        """Ask a question and stream the answer as it is written.

        Args:
            question: The question, or a `QuestionIn` with all parameters. To continue a conversation, omit it and
                pass `messages` that end with the question.
            **members: Fields of `QuestionIn`, as for `answer`.

        Returns:
            A context manager with an iterator of events: progress events, a `DeltaOut` for each piece of text, and at
            the end the complete `AnswerOut`. Exiting the block early cancels the answer.

        Raises:
            RefusedError: If the question is invalid, or too expensive without `confirm` or a `budget`.
            QuotaError: If a quota or rate limit is exceeded.

        Example:
            with client.stream_answer("What did the audit find?") as events:
                for event in events:
                    if isinstance(event, DeltaOut):
                        print(event.text, end="")
        """
        body = _build_body("question", question, {**members, "stream": True})
        return StreamCall(
            Call("POST", "/v1/answers", ignore_response, body=body).with_idempotency_key(), _parse_answer_event
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
        """Start a background run that answers a question and continues without this connection.

        Args:
            question: The question, or a `QuestionIn` with all parameters. To continue a conversation, omit it and
                pass `messages` that end with the question.
            idempotency_key: Your own idempotency key. By default, each call generates a key and uses it for all tries.
            **members: Fields of `QuestionIn`, as for `answer`; also `pause_on_budget`.

        Returns:
            The run. Follow it with `follow_run`, or poll it with `run`.

        Raises:
            RefusedError: If the question is invalid, or too expensive without `confirm` or a `budget`.
            QuotaError: If a quota or rate limit is exceeded.
        """
        body = _build_body("question", question, {**members, "background": True})
        call = Call("POST", "/v1/answers", ModelReader(schemas.RunWithAnswerOut), body=body)
        return call.with_idempotency_key(idempotency_key)

    @operation
    def start_answer(
        self,
        /,
        question: str | schemas.QuestionIn = "",
        *,
        idempotency_key: str | None = None,
        **members: Any,  # noqa: ANN401
    ) -> Call[schemas.PendingAnswerOut]:
        """Start an answer in a conversation that continues without this connection, unless the service is restarted.

        Args:
            question: The question, or a `QuestionIn` with all parameters.
            idempotency_key: Your own idempotency key. By default, each call generates a key and uses it for all tries.
            **members: Fields of `QuestionIn`, as for `answer`. `conversation` is required.

        Returns:
            The pending answer. Follow it with `follow_answer`. Once it is complete, `kept_answer` returns it.

        Raises:
            RefusedError: If the question is invalid.
            QuotaError: If a quota or rate limit is exceeded.
        """
        body = _build_body("question", question, {**members, "detach": True})
        call = Call("POST", "/v1/answers", ModelReader(schemas.PendingAnswerOut), body=body)
        return call.with_idempotency_key(idempotency_key)

    @following
    def follow_answer(self, answer: str) -> FollowCall[schemas.AnswerEvent | None]:
        """Follow an answer of `start_answer` from its start to its end, reconnecting as needed.

        Args:
            answer: The answer's id.

        Returns:
            An iterator of the same events as for `stream_answer`. The last event is the complete `AnswerOut`.

        Raises:
            NotFoundError: If the answer does not exist.
            LeadlineError: If the answer failed, was cancelled, or was interrupted by a restart.
        """
        return FollowCall(f"/v1/answers/{answer}/events", _parse_answer_event)

    @operation
    def cancel_answer(self, answer: str) -> Call[None]:
        """Cancel an answer of `start_answer`. Its text is not stored; its question stays in the conversation.

        Args:
            answer: The answer's id.

        Raises:
            NotFoundError: If the answer does not exist.
        """
        return Call("POST", f"/v1/answers/{answer}/cancel", ignore_response, body={}, repeatable=True)

    @operation
    def kept_answer(self, answer: str) -> Call[schemas.AnswerOut]:
        """Retrieve a stored answer.

        Args:
            answer: The answer's id.

        Returns:
            The answer.

        Raises:
            NotFoundError: If the answer does not exist.
        """
        return Call("GET", f"/v1/answers/{answer}", ModelReader(schemas.AnswerOut))

    @operation
    def suggest_questions(self, /, answer: str | None = None, **members: Any) -> Call[schemas.SuggestionsOut]:  # noqa: ANN401
        """Suggest first questions about documents, or questions that lead on from a stored answer.

        Args:
            answer: The id of the answer, or None for first questions.
            **members: For first questions: `collections`, `documents`, `filters` and `language`.

        Returns:
            The questions. There are none without a capable language model.

        Raises:
            NotFoundError: If the answer or a collection does not exist.
            QuotaError: If a quota is used up.
        """
        body = {**members, **({} if answer is None else {"answer": answer})}
        return Call("POST", "/v1/suggestions", ModelReader(schemas.SuggestionsOut), body=body, repeatable=True)

    @listing
    def rows_behind(self, answer: str) -> PagedCall[schemas.RowOut]:
        """Iterate over the records behind a computed answer.

        Args:
            answer: The answer's id.

        Returns:
            An iterator of records. Pages are fetched as needed.

        Raises:
            NotFoundError: If the answer does not exist.
        """
        return _build_paged_call(f"/v1/answers/{answer}/rows", schemas.RowPage, "rows")

    # Runs

    @operation
    def run(self, run: str) -> Call[schemas.RunWithAnswerOut]:
        """Retrieve a run.

        Args:
            run: The run's id.

        Returns:
            The run with its state, progress and usage, and its answer if it has one.

        Raises:
            NotFoundError: If the run does not exist.
        """
        return Call("GET", f"/v1/runs/{run}", ModelReader(schemas.RunWithAnswerOut))

    @listing
    def runs(self, *, state: Sequence[str] = ()) -> PagedCall[schemas.RunOut]:
        """Iterate over runs, newest first.

        Args:
            state: Only runs in these states, such as `running` or `completed`.

        Returns:
            An iterator of runs. Pages are fetched as needed.
        """
        return _build_paged_call("/v1/runs", schemas.RunPage, "runs", state=list(state))

    @following
    def follow_run(self, run: str) -> FollowCall[schemas.RunEventOut]:
        """Follow a run from its start to its end, reconnecting as needed.

        Args:
            run: The run's id.

        Returns:
            An iterator of the run's events. The last event is a `RunEndOut` with the run and its answer.

        Raises:
            NotFoundError: If the run does not exist.
            NoAnswerError: If the service stays unreachable.
        """
        return FollowCall(f"/v1/runs/{run}/events", _parse_run_event)

    @operation
    def cancel_run(self, run: str) -> Call[schemas.RunWithAnswerOut]:
        """Cancel a run.

        Args:
            run: The run's id.

        Returns:
            The run. A run that has ended is not changed.

        Raises:
            NotFoundError: If the run does not exist.
        """
        return Call("POST", f"/v1/runs/{run}/cancel", ModelReader(schemas.RunWithAnswerOut), body={}, repeatable=True)

    @operation
    def delete_run(self, run: str) -> Call[None]:
        """Delete a run that has ended.

        Args:
            run: The run's id.

        Raises:
            NotFoundError: If the run does not exist.
            StateError: If the run has not ended.
        """
        return Call("DELETE", f"/v1/runs/{run}", ignore_response)

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
        """Upload a document in one request.

        Uploading the same bytes again is safe: it returns the existing document. For large files over unreliable
        connections, use `upload_resumable`.

        Args:
            source: The path of the file, or its content.
            name: The document's name. Defaults to the file's name; pass it when uploading bytes.
            collection: The collection to upload to.
            priority: `interactive`, or `bulk` to yield to your other uploads.
            batch: The id of the batch that the upload belongs to.
            metadata: The document's attributes, which searches can filter by.
            readers: The users and groups who can see the document, such as `user:ann` or `group:hr`. By default the
                whole tenant can.

        Returns:
            The document, and whether it is a `duplicate`. Processing continues in the background: see
                `follow_document`.

        Raises:
            RefusedError: If the file or a parameter is invalid, or the file is too large.
            QuotaError: If a quota or rate limit is exceeded.
        """
        call = _build_upload(source, name, collection, priority, batch, metadata, readers)
        return Call("POST", "/v1/documents", ModelReader(schemas.UploadedOut), **call, repeatable=True)

    @operation
    def upload_url(self, /, url: str, **description: Any) -> Call[schemas.UploadedOut]:  # noqa: ANN401
        """Let the service fetch a web page or a file from its address, and add it as a document.

        Args:
            url: The address, which must be public and use https unless the service allows private networks.
            **description: `name`, `collection`, `priority`, `metadata` and `readers`, as in `upload`.

        Returns:
            The document, and whether it is a `duplicate`.

        Raises:
            RefusedError: If the address is not allowed, or its content cannot be used.
            QuotaError: If a quota or rate limit is exceeded.
            ServiceError: If the server of the address does not respond.
        """
        body = {"url": url, **description}
        return Call("POST", "/v1/documents/from-url", ModelReader(schemas.UploadedOut), body=body, repeatable=True)

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
        """Upload a large file with the tus protocol, resuming after a broken connection.

        Args:
            source: The path of the file, or its content.
            name: The document's name. Defaults to the file's name; pass it when uploading bytes.
            collection: The collection to upload to.
            priority: `interactive`, or `bulk` to yield to your other uploads.
            batch: The id of the batch that the upload belongs to.
            metadata: The document's attributes, which searches can filter by.
            readers: The users and groups who can see the document, such as `user:ann` or `group:hr`. By default the
                whole tenant can.

        Returns:
            The document.

        Raises:
            RefusedError: If the file or a parameter is invalid, or the file is too large.
            QuotaError: If a quota or rate limit is exceeded.
            NoAnswerError: If the connection breaks repeatedly without progress.
        """
        about = _build_upload(source, name, collection, priority, batch, metadata, readers)["params"]
        about = {**about, "readers": json_module.dumps(about["readers"]) if readers else None}
        given = {("filename" if key == "name" else key): value for key, value in about.items() if value is not None}
        return CallSequence(lambda: stepping.iter_upload_calls(UploadContent(source), given))

    @operation
    def document(self, document: str) -> Call[schemas.DocumentOut]:
        """Retrieve a document.

        Args:
            document: The document's id.

        Returns:
            The document with its state and progress, and the reason if it failed.

        Raises:
            NotFoundError: If the document does not exist.
        """
        return Call("GET", f"/v1/documents/{document}", ModelReader(schemas.DocumentOut))

    @listing
    def documents(self, /, **filters: Any) -> PagedCall[schemas.DocumentOut]:  # noqa: ANN401 - parameters of the route
        """Iterate over documents.

        Args:
            **filters: Parameters of `GET /v1/documents`: `collection`, `state`, `type`, `batch`, `container`,
                `with_omissions`, `named` (part of the name or title), `filters` (conditions on metadata and
                cards, as in a search), and `order`, such as `newest` or `-size`.

        Returns:
            An iterator of documents, oldest first by default. Pages are fetched as needed.

        Raises:
            RefusedError: If a filter is invalid.
        """
        return _build_paged_call("/v1/documents", schemas.DocumentPage, "documents", **_encode_filters(filters))

    @following
    def follow_document(self, document: str) -> FollowCall[schemas.DocumentOut | schemas.DocumentGoneOut]:
        """Follow a document until it is ready, has failed or is deleted, reconnecting as needed.

        Args:
            document: The document's id.

        Returns:
            An iterator of the document's states. If the document is deleted, the last state is a `DocumentGoneOut`.

        Raises:
            NotFoundError: If the document does not exist.
            NoAnswerError: If the service stays unreachable.
        """
        return FollowCall(f"/v1/documents/{document}/events", _parse_document_state)

    @operation
    def change_document(
        self,
        /,
        document: str,
        *,
        if_match: str = "*",
        **changes: Any,  # noqa: ANN401 - `metadata`, `title`, `readers`, `collection`
    ) -> Call[schemas.DocumentOut]:
        """Change a document's metadata, title, readers or collection.

        Args:
            document: The document's id.
            if_match: The `ETag` that the document must still have. By default, any `ETag` is accepted.
            **changes: `metadata`, a mapping in which None removes an attribute; `title`, or None for the title from the
                content; `readers`, or None for the whole tenant; `collection`, the collection to move the document to.
                Omitted fields are not changed.

        Returns:
            The changed document.

        Raises:
            NotFoundError: If the document or the collection does not exist.
            ForbiddenError: If you change `readers` and are neither the uploader nor an admin of the collection, or move
                the document and may not write in both collections.
            StateError: If the document no longer matches `if_match`, or is an entry of an archive, mailbox or message.
        """
        headers = {"If-Match": if_match}
        return Call(
            "PATCH", f"/v1/documents/{document}", ModelReader(schemas.DocumentOut), body=changes, headers=headers
        )

    @stepwise
    def move_documents(
        self, collection: str, documents: Sequence[str] | Mapping[str, Any]
    ) -> CallSequence[schemas.BulkStepOut]:
        """Move many documents to another collection, a hundred at a time. If interrupted, call it again to continue.

        Args:
            collection: The name of the collection to move the documents to. It must exist.
            documents: The ids of the documents, or a filter with the fields of `documents()`, such as
                `{"collection": "drafts"}`. Documents that are added later are not moved.

        Returns:
            The number of documents that were moved, and the documents that were not, with the reasons.

        Raises:
            NotFoundError: If the collection does not exist.
            ForbiddenError: If you may not write in the collection.
        """
        return CallSequence(lambda: stepping.iter_move_calls(collection, documents))

    @operation
    def change_card(
        self,
        /,
        document: str,
        *,
        if_match: str = "*",
        **fields: Any,  # noqa: ANN401 - fields of a card
    ) -> Call[schemas.CardOut]:
        """Change the fields of a document's card, which tell it apart from similar documents.

        Args:
            document: The document's id.
            if_match: The `ETag` that the document must still have. By default, any `ETag` is accepted.
            **fields: `title`, `kind`, `version` and `language`, as strings; `subjects`, `periods`, `dates` and
                `outline`, as lists of strings. None restores the value found in the document. Omitted fields are not
                changed.

        Returns:
            The changed card.

        Raises:
            NotFoundError: If the document does not exist.
            RefusedError: If a field is invalid.
            StateError: If the document no longer matches `if_match`.
        """
        headers = {"If-Match": if_match}
        path = f"/v1/documents/{document}/card"
        return Call("PATCH", path, ModelReader(schemas.CardOut), body=fields, headers=headers)

    @operation
    def facets(
        self,
        /,
        names: str = "kind,subjects,periods,language",
        **filters: Any,  # noqa: ANN401 - parameters of the route
    ) -> Call[schemas.FacetsOut]:
        """Count the documents of a listing by the values on their cards.

        Args:
            names: Fields of cards, separated by commas. `dates` and `version` are also possible.
            **filters: Parameters of `documents` that filter, and `limit`, the maximum number of values of each field.

        Returns:
            The values of each field with their numbers of documents, the most frequent ones first.

        Raises:
            RefusedError: If a name or filter is invalid.
        """
        params = {"names": names, **_encode_filters(filters)}
        return Call("GET", "/v1/documents/facets", ModelReader(schemas.FacetsOut), params=params)

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
        """Replace a document's content. Searches find the old content until the new one is ready.

        Args:
            document: The document's id.
            source: The path of the new file, or its content.
            name: The new name. Defaults to the file's name, or for bytes to the document's current name.
            priority: `interactive`, or `bulk` to yield to your other uploads.
            if_match: The `ETag` that the document must still have. By default, any `ETag` is accepted.

        Returns:
            The document, and whether the content is a `duplicate` of the current one.

        Raises:
            NotFoundError: If the document does not exist.
            StateError: If the document no longer matches `if_match`.
            RefusedError: If the file is invalid or too large.
        """
        content = UploadContent(source)
        params = {"name": name or (source.name if isinstance(source, Path) else None), "priority": priority}
        headers = {"If-Match": if_match}
        path = f"/v1/documents/{document}"
        return Call("PUT", path, ModelReader(schemas.UploadedOut), params=params, content=content, headers=headers)

    @operation
    def delete_document(self, document: str) -> Call[schemas.DeletionOut]:
        """Delete a document and everything derived from it. Deleting it again returns the same receipt.

        Args:
            document: The document's id.

        Returns:
            The receipt of the deletion.

        Raises:
            NotFoundError: If the document does not exist.
        """
        return Call("DELETE", f"/v1/documents/{document}", ModelReader(schemas.DeletionOut))

    @operation
    def cancel_document(self, document: str) -> Call[schemas.DocumentOut]:
        """Cancel the processing of a document's latest upload.

        Args:
            document: The document's id.

        Returns:
            The document. If the latest upload was a replacement, the document keeps its earlier content.

        Raises:
            NotFoundError: If the document does not exist.
            StateError: If nothing is being processed.
        """
        return Call(
            "POST", f"/v1/documents/{document}/cancel", ModelReader(schemas.DocumentOut), body={}, repeatable=True
        )

    @operation
    def text(self, document: str, *, start: int = 0, end: int | None = None) -> Call[str]:
        """Retrieve a document's normalized text, which the spans of citations refer to.

        Args:
            document: The document's id.
            start: The first code point.
            end: The code point to stop before. By default the end of the text.

        Returns:
            The text or the requested span.

        Raises:
            NotFoundError: If the document does not exist.
        """
        params = {"start": start or None, "end": end}
        return Call("GET", f"/v1/documents/{document}/content", lambda response: response.text, params=params)

    @operation
    def original(self, document: str) -> Call[bytes]:
        """Retrieve a document's original file.

        Args:
            document: The document's id.

        Returns:
            The bytes that were uploaded.

        Raises:
            NotFoundError: If the document does not exist.
        """
        return Call("GET", f"/v1/documents/{document}/original", lambda response: response.content)

    @operation
    def positions(
        self, document: str, start: int, end: int, *, version: str | None = None
    ) -> Call[schemas.PositionsOut]:
        """Locate a span of text in the original file.

        Args:
            document: The document's id.
            start: The first code point of the span.
            end: The code point to stop before.
            version: The version that the span refers to, as in a citation. By default the active one.

        Returns:
            The bounding boxes on pages, or cells of sheets, that the span covers.

        Raises:
            NotFoundError: If the document does not exist.
            StateError: If the version no longer exists.
        """
        params = {"start": start, "end": end, "version": version}
        return Call("GET", f"/v1/documents/{document}/positions", ModelReader(schemas.PositionsOut), params=params)

    @listing
    def outline(self, document: str) -> PagedCall[schemas.OutlineEntryOut]:
        """Iterate over a document's headings, pages, slides, sheets and tables.

        Args:
            document: The document's id.

        Returns:
            An iterator of entries with their spans. Pages are fetched as needed.

        Raises:
            NotFoundError: If the document does not exist.
        """
        return _build_paged_call(f"/v1/documents/{document}/outline", schemas.OutlinePage, "entries")

    @listing
    def tables(self, document: str) -> PagedCall[schemas.TableOut]:
        """Iterate over a document's tables whose rows are records.

        Args:
            document: The document's id.

        Returns:
            An iterator of tables. Pages are fetched as needed.

        Raises:
            NotFoundError: If the document does not exist.
        """
        return _build_paged_call(f"/v1/documents/{document}/tables", schemas.TablePage, "tables")

    # Batches

    @operation
    def create_batch(
        self, name: str = "", *, expected: int | None = None, idempotency_key: str | None = None
    ) -> Call[schemas.BatchOut]:
        """Create a batch of uploads. Pass its id as `batch` to `upload`.

        Args:
            name: A display name.
            expected: The expected number of files. The batch closes automatically when this many have arrived.
            idempotency_key: Your own idempotency key. By default, each call generates a key and uses it for all tries.

        Returns:
            The batch.

        Raises:
            RefusedError: If a parameter is invalid.
        """
        body = {"name": name, "expected": expected}
        return Call("POST", "/v1/batches", ModelReader(schemas.BatchOut), body=body).with_idempotency_key(
            idempotency_key
        )

    @operation
    def batch(self, batch: str) -> Call[schemas.BatchOut]:
        """Retrieve a batch.

        Args:
            batch: The batch's id.

        Returns:
            The batch with its counts and progress.

        Raises:
            NotFoundError: If the batch does not exist.
        """
        return Call("GET", f"/v1/batches/{batch}", ModelReader(schemas.BatchOut))

    @listing
    def batches(self) -> PagedCall[schemas.BatchOut]:
        """Iterate over batches, newest first.

        Returns:
            An iterator of batches. Pages are fetched as needed.
        """
        return _build_paged_call("/v1/batches", schemas.BatchPage, "batches")

    @following
    def follow_batch(self, batch: str) -> FollowCall[schemas.BatchOut]:
        """Follow a batch until it is completed or cancelled, reconnecting as needed.

        Args:
            batch: The batch's id.

        Returns:
            An iterator of the batch's states.

        Raises:
            NotFoundError: If the batch does not exist.
            NoAnswerError: If the service stays unreachable.
        """
        return FollowCall(f"/v1/batches/{batch}/events", lambda _, data: _parse_event(schemas.BatchOut, data))

    @listing
    def batch_failures(self, batch: str) -> PagedCall[schemas.BatchFailureOut]:
        """Iterate over the files of a batch that were refused or failed.

        Args:
            batch: The batch's id.

        Returns:
            An iterator of files with the reasons. Pages are fetched as needed.

        Raises:
            NotFoundError: If the batch does not exist.
        """
        return _build_paged_call(f"/v1/batches/{batch}/failures", schemas.BatchFailurePage, "failures")

    @operation
    def close_batch(self, batch: str) -> Call[schemas.BatchOut]:
        """Close a batch after the last upload. It is completed once all its files have been processed.

        Args:
            batch: The batch's id.

        Returns:
            The batch.

        Raises:
            NotFoundError: If the batch does not exist.
        """
        return Call("POST", f"/v1/batches/{batch}/close", ModelReader(schemas.BatchOut), body={}, repeatable=True)

    @operation
    def cancel_batch(self, batch: str) -> Call[schemas.BatchOut]:
        """Cancel a batch: it accepts no more files, and files that are not ready are no longer processed.

        Args:
            batch: The batch's id.

        Returns:
            The batch.

        Raises:
            NotFoundError: If the batch does not exist.
            StateError: If the batch is completed.
        """
        return Call("POST", f"/v1/batches/{batch}/cancel", ModelReader(schemas.BatchOut), body={}, repeatable=True)

    # Conversations and the caller

    @listing
    def conversations(self, *, search: str = "", mine: bool = False) -> PagedCall[schemas.ConversationOut]:
        """Iterate over saved conversations, newest first.

        Args:
            search: Only conversations that contain all of these words in the title, the questions or the answers.
            mine: Only your own conversations, although you are an admin, who may read those of all users.

        Returns:
            An iterator of conversations. Pages are fetched as needed. If you search, `excerpt` is the text around one
            of the words.
        """
        return _build_paged_call(
            "/v1/conversations", schemas.ConversationPage, "conversations", search=search or None, mine=mine or None
        )

    @operation
    def conversation(self, conversation: str) -> Call[schemas.ConversationWithTurnsOut]:
        """Retrieve a conversation with its first page of turns.

        Args:
            conversation: The conversation's id.

        Returns:
            The conversation with its turns, oldest first. For more turns, pass `next_cursor` to `get` as `cursor`.

        Raises:
            NotFoundError: If the conversation does not exist.
        """
        return Call("GET", f"/v1/conversations/{conversation}", ModelReader(schemas.ConversationWithTurnsOut))

    @operation
    def rename_conversation(self, conversation: str, title: str) -> Call[schemas.ConversationOut]:
        """Rename a conversation.

        Args:
            conversation: The conversation's id.
            title: The new title, of at most 200 characters.

        Returns:
            The conversation.

        Raises:
            NotFoundError: If the conversation does not exist.
            RefusedError: If the title is empty or too long.
        """
        return Call(
            "PATCH",
            f"/v1/conversations/{conversation}",
            ModelReader(schemas.ConversationOut),
            body={"title": title},
            repeatable=True,
        )

    @operation
    def export_conversation(self, conversation: str, *, form: Literal["markdown", "json"] = "markdown") -> Call[str]:
        """Export a conversation with its sources and the checks of its statements.

        Args:
            conversation: The conversation's id.
            form: `markdown` for people, or `json` for programs.

        Returns:
            The content of the file.

        Raises:
            NotFoundError: If the conversation does not exist.
        """
        path = f"/v1/conversations/{conversation}/export"
        return Call("GET", path, lambda response: response.text, params={"form": form})

    @operation
    def delete_conversation(self, conversation: str) -> Call[None]:
        """Delete a conversation and its answers.

        Args:
            conversation: The conversation's id.

        Raises:
            NotFoundError: If the conversation does not exist.
        """
        return Call("DELETE", f"/v1/conversations/{conversation}", ignore_response)

    @operation
    def collections(self) -> Call[schemas.CollectionPage]:
        """List the collections that the caller can use.

        Returns:
            The collections.
        """
        return Call("GET", "/v1/collections", ModelReader(schemas.CollectionPage))

    @operation
    def create_collection(self, /, name: str, **settings: Any) -> Call[schemas.CollectionOut]:  # noqa: ANN401
        """Create an empty collection.

        Args:
            name: The collection's name: letters, digits, dots, dashes and underscores. It cannot be changed later.
            **settings: `title`, which people see instead of the name, `description`, `default_strategy`, `metadata`,
                `describe`, and `private`, which closes the collection to others.

        Returns:
            The collection.

        Raises:
            StateError: If a collection with this name exists.
        """
        return Call(
            "POST", "/v1/collections", ModelReader(schemas.CollectionOut), body={"name": name, **settings}
        ).with_idempotency_key()

    @operation
    def change_collection(
        self,
        /,
        name: str,
        *,
        if_match: str = "*",
        **changes: Any,  # noqa: ANN401 - fields of the settings
    ) -> Call[schemas.CollectionOut]:
        """Rename or describe a collection, or change its other settings.

        Args:
            name: The collection's name, which is its id.
            if_match: The `ETag` that the collection must still have. By default, any `ETag` is accepted.
            **changes: `title`, which people see instead of the name, `description`, `default_strategy`, `metadata` and
                `describe`. Omitted fields are not changed.

        Returns:
            The changed collection.

        Raises:
            NotFoundError: If the collection does not exist.
            ForbiddenError: If the collection has grants and you are not its admin.
            StateError: If the collection no longer matches `if_match`.
        """
        return Call(
            "PATCH",
            f"/v1/collections/{name}",
            ModelReader(schemas.CollectionOut),
            body=changes,
            headers={"If-Match": if_match},
        )

    # Sources

    @operation
    def source_kinds(self) -> Call[schemas.SourceKindList]:
        """List the kinds of sources that the service can synchronize.

        Returns:
            The kinds, with the JSON schema of their options.
        """
        return Call("GET", "/v1/source-kinds", ModelReader(schemas.SourceKindList))

    @operation
    def sources(self) -> Call[schemas.SourceList]:
        """List the sources of your tenant.

        Returns:
            The sources without credentials, oldest first.
        """
        return Call("GET", "/v1/sources", ModelReader(schemas.SourceList))

    @operation
    def source(self, source: str) -> Call[schemas.SourceOut]:
        """Retrieve a source.

        Args:
            source: The source's id.

        Returns:
            The source with its last sync.

        Raises:
            NotFoundError: If the source does not exist.
        """
        return Call("GET", f"/v1/sources/{source}", ModelReader(schemas.SourceOut))

    @operation
    def check_source(self, kind: str, options: Mapping[str, Any]) -> Call[schemas.SourceCheckOut]:
        """Check a source before you create it: open it, list some items, and read one of them.

        Args:
            kind: The kind of source, such as `folder`.
            options: The options, with the credentials.

        Returns:
            The items that were found, or the reason why the source cannot be synchronized.

        Raises:
            RefusedError: If the kind does not exist or an option is invalid.
        """
        body = {"kind": kind, "options": dict(options)}
        return Call("POST", "/v1/sources/check", ModelReader(schemas.SourceCheckOut), body=body, repeatable=True)

    @operation
    def check_saved_source(
        self, source: str, *, options: Mapping[str, Any] | None = None
    ) -> Call[schemas.SourceCheckOut]:
        """Check an existing source: open it, list some items, and read one of them.

        Args:
            source: The source's id.
            options: Changed options to check. Omitted options are those of the source.

        Returns:
            The items that were found, or the reason why the source cannot be synchronized.

        Raises:
            NotFoundError: If the source does not exist.
            RefusedError: If an option is invalid.
        """
        body = {"options": dict(options or {})}
        path = f"/v1/sources/{source}/check"
        return Call("POST", path, ModelReader(schemas.SourceCheckOut), body=body, repeatable=True)

    @operation
    def create_source(
        self,
        name: str,
        kind: str,
        options: Mapping[str, Any],
        *,
        collection: str = "default",
        interval_seconds: int = 3600,
    ) -> Call[schemas.SourceOut]:
        """Create a source. Its first sync starts at once.

        Args:
            name: The name that people see.
            kind: The kind of source, such as `folder`.
            options: The options, with the credentials.
            collection: The collection of its documents.
            interval_seconds: The time between two syncs, or 0 to synchronize on request only.

        Returns:
            The source.

        Raises:
            RefusedError: If the kind does not exist or an option is invalid.
        """
        body = {
            "name": name,
            "kind": kind,
            "options": dict(options),
            "collection": collection,
            "interval_seconds": interval_seconds,
        }
        return Call("POST", "/v1/sources", ModelReader(schemas.SourceOut), body=body).with_idempotency_key()

    @operation
    def change_source(self, /, source: str, **changes: Any) -> Call[schemas.SourceOut]:  # noqa: ANN401
        """Change a source.

        Args:
            source: The source's id.
            **changes: `name`; `options`, in which omitted options and credentials stay as they are, and None resets an
                option; `interval_seconds`, or 0 to synchronize on request only; `paused`.

        Returns:
            The changed source.

        Raises:
            NotFoundError: If the source does not exist.
            RefusedError: If an option is invalid.
        """
        return Call("PATCH", f"/v1/sources/{source}", ModelReader(schemas.SourceOut), body=changes)

    @operation
    def delete_source(self, source: str, *, documents: Literal["keep", "remove"]) -> Call[None]:
        """Delete a source.

        Args:
            source: The source's id.
            documents: Whether to `keep` its documents, which then no longer change, or to `remove` them.

        Raises:
            NotFoundError: If the source does not exist.
        """
        return Call("DELETE", f"/v1/sources/{source}", ignore_response, params={"documents": documents})

    @operation
    def sync_source(self, source: str) -> Call[schemas.SyncOut]:
        """Synchronize a source now.

        Args:
            source: The source's id.

        Returns:
            The sync that was started, or the one in progress.

        Raises:
            NotFoundError: If the source does not exist.
        """
        path = f"/v1/sources/{source}/syncs"
        return Call("POST", path, ModelReader(schemas.SyncOut), body={}, repeatable=True)

    @listing
    def syncs(self, source: str) -> PagedCall[schemas.SyncOut]:
        """Iterate over the syncs of a source, newest first.

        Args:
            source: The source's id.

        Returns:
            An iterator of syncs. Pages are fetched as needed.

        Raises:
            NotFoundError: If the source does not exist.
        """
        return _build_paged_call(f"/v1/sources/{source}/syncs", schemas.SyncPage, "syncs")

    @operation
    def approve_sync(self, source: str, sync: str, *, removals: int) -> Call[schemas.SyncOut]:
        """Let a sync in the state `needs_approval` remove a large share of the documents.

        Args:
            source: The source's id.
            sync: The sync's id.
            removals: The number of removals that you approve: `pending_removals` of the sync.

        Returns:
            The sync, which goes on.

        Raises:
            NotFoundError: If the source or the sync does not exist.
            StateError: If the sync does not wait for an approval of this number.
        """
        path = f"/v1/sources/{source}/syncs/{sync}/approve"
        return Call("POST", path, ModelReader(schemas.SyncOut), body={"removals": removals}).with_idempotency_key()

    @operation
    def cancel_sync(self, source: str, sync: str) -> Call[schemas.SyncOut]:
        """Cancel a sync. What it has already added and changed stays.

        Args:
            source: The source's id.
            sync: The sync's id.

        Returns:
            The cancelled sync.

        Raises:
            NotFoundError: If the source does not exist.
            StateError: If the sync is not in progress.
        """
        path = f"/v1/sources/{source}/syncs/{sync}/cancel"
        return Call("POST", path, ModelReader(schemas.SyncOut), body={}, repeatable=True)

    @listing
    def source_items(
        self, source: str, *, refused: bool = False, gone: bool = False, failed: bool = False
    ) -> PagedCall[schemas.SyncedItemOut]:
        """Iterate over the items of a source.

        Args:
            source: The source's id.
            refused: Whether to list only items without a document, with the reason.
            gone: Whether to list only items whose removal waits for an approval.
            failed: Whether to list only items whose document could not be processed, with the reason.

        Returns:
            An iterator of items. Pages are fetched as needed.

        Raises:
            NotFoundError: If the source does not exist.
        """
        path = f"/v1/sources/{source}/items"
        chosen = {"refused": refused or None, "gone": gone or None, "failed": failed or None}
        return _build_paged_call(path, schemas.SyncedItemPage, "items", **chosen)

    @operation
    def me(self) -> Call[schemas.PrincipalOut]:
        """Retrieve the caller's identity.

        Returns:
            The tenant, user and permissions of the API key.

        Raises:
            UnauthorizedError: If the API key is missing or invalid.
        """
        return Call("GET", "/v1/me", ModelReader(schemas.PrincipalOut))

    @operation
    def status(self) -> Call[schemas.StatusOut]:
        """Count the caller's documents by state and type.

        Returns:
            The counts.
        """
        return Call("GET", "/v1/status", ModelReader(schemas.StatusOut))

    # Other routes, by path

    @operation
    def get(self, /, path: str, *, headers: Mapping[str, str] | None = None, **params: Any) -> Call[Any]:  # noqa: ANN401
        """Send a GET request to any path.

        Args:
            path: The path, such as `/v1/quotas`.
            headers: Additional headers.
            **params: Query parameters. Parameters that are None are omitted.

        Returns:
            The parsed JSON.
        """
        return Call("GET", path, read_json, params=params, headers=headers or {})

    @operation
    def post(self, path: str, body: Any, *, idempotency_key: str | None = None) -> Call[Any]:  # noqa: ANN401
        """Send a POST request with a JSON body to any path.

        Args:
            path: The path.
            body: The body, encoded as JSON.
            idempotency_key: Your own idempotency key. By default, each call generates a key and uses it for all tries.

        Returns:
            The parsed JSON, or None if the response is empty.
        """
        return Call("POST", path, _read_json_or_none, body=body).with_idempotency_key(idempotency_key)

    @operation
    def patch(self, path: str, body: Any, *, if_match: str = "*") -> Call[Any]:  # noqa: ANN401
        """Send a PATCH request with a JSON body to any path.

        Args:
            path: The path.
            body: The body, encoded as JSON.
            if_match: The `ETag` that the object must still have. By default, any `ETag` is accepted.

        Returns:
            The parsed JSON.

        Raises:
            StateError: If the object no longer matches `if_match`.
        """
        return Call("PATCH", path, read_json, body=body, headers={"If-Match": if_match})

    @operation
    def delete(self, path: str) -> Call[Any]:
        """Send a DELETE request to any path.

        Args:
            path: The path.

        Returns:
            The parsed JSON, or None if the response is empty.
        """
        return Call("DELETE", path, _read_json_or_none)

    @listing
    def listed(self, /, path: str, members: str, **params: Any) -> PagedCall[Any]:  # noqa: ANN401
        """Iterate over all entries of a listing at any path.

        Args:
            path: The path.
            members: The JSON field of each page that holds the page's entries, such as `rows`.
            **params: Query parameters.

        Returns:
            An iterator of entries as parsed JSON. Pages are fetched as needed.
        """
        return PagedCall(Call("GET", path, read_json, params={"limit": _PAGE_SIZE, **params}), members)

    @streaming
    def events(self, path: str, body: Any) -> StreamCall[tuple[str, Any]]:  # noqa: ANN401
        """Send a POST request with a JSON body and stream the server-sent events of its response.

        Args:
            path: The path.
            body: The body, encoded as JSON.

        Returns:
            A context manager with an iterator of `(name, data)` pairs, where `data` is parsed JSON.
        """
        return StreamCall(
            Call("POST", path, ignore_response, body=body).with_idempotency_key(),
            lambda name, data: (name, json_module.loads(data)),
        )

    @following
    def follow(self, path: str) -> FollowCall[Any]:
        """Follow an events route, such as `/v1/documents/{id}/events`, to its end, reconnecting as needed.

        Args:
            path: The path of the events route.

        Returns:
            An iterator of states as parsed JSON.

        Raises:
            NoAnswerError: If the service stays unreachable.
        """
        return FollowCall(path, lambda _, data: json_module.loads(data))


def _build_body(field_name: str, value: str | BaseModel, extra_fields: Mapping[str, Any]) -> dict[str, Any]:
    """Build a request body from one field or a request object, and further fields."""
    if isinstance(value, BaseModel):
        return {**value.model_dump(mode="json", exclude_unset=True), **extra_fields}
    return {field_name: value, **extra_fields} if value else dict(extra_fields)


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


def _encode_filters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of a listing, with `filters` as JSON text."""
    filters = parameters.get("filters")
    return {**parameters, **({"filters": json_module.dumps(filters)} if isinstance(filters, Mapping) else {})}


def _build_paged_call(path: str, page_model: type[Model], entries_field: str, **params: Any) -> PagedCall[Any]:  # noqa: ANN401
    return PagedCall(Call("GET", path, ModelReader(page_model), params=params), entries_field)


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


def _parse_event(model: type[Model], data: str) -> Model:
    return model.model_validate_json(data, extra="ignore")


def _read_json_or_none(response: httpx.Response) -> Any:  # noqa: ANN401
    return response.json() if response.content else None
