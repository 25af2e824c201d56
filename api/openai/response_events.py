"""Formats the events of a streamed response, with the event names and the event order of Open Responses."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from api.answers.schemas import AnswerOut
from api.http.problems import to_openai_error
from api.http.sse import DONE, format_event
from api.openai.inert import MarkdownNeutralizer
from api.openai.responses import (
    ResponseIn,
    ResponseView,
    build_message,
    build_message_item,
    build_response_id,
    build_response_object,
    build_search_call,
    build_text_part,
    get_response_status,
)
from rlm.answers import Answer
from rlm.events import Completed, Delta, Event, Reading, Retrieved


class ResponseEventWriter:
    """Formats an answer's events as the events of a response, numbered from 0."""

    def __init__(
        self, keep: Callable[[Answer], AnswerOut], identifier: str, body: ResponseIn, shown: ResponseView
    ) -> None:
        self._keep = keep
        self._identifier = identifier
        self._body = body
        self._shown = shown
        self._created = time.time()
        self._number = 0
        self._queries: list[str] = []
        self._text: list[str] = []
        self._inert = MarkdownNeutralizer()
        self._index = 0  # The index of the message in `output`.
        self._stage: Literal["new", "begun", "searching", "writing"] = "new"

    def write_event(self, event: Event) -> str:
        return "".join(self._write_events(event))

    def write_failure(self, problem: Mapping[str, Any]) -> str:
        """Return the final events of a failed response."""
        started = list(self._start_response())
        error = to_openai_error(problem)
        return "".join([*started, self._write_response("failed", error=error), DONE])

    def _write_events(self, event: Event) -> Iterator[str]:
        yield from self._start_response()
        # Documents that fit in the model's context window are read whole, without a search.
        if isinstance(event, Retrieved | Reading):
            yield from self._write_search(event.query if isinstance(event, Retrieved) else None)
        elif isinstance(event, Delta):
            yield from self._write_delta(self._inert.feed(event.text))
        elif isinstance(event, Completed):
            yield from self._write_end(self._keep(event.answer))

    def _start_response(self) -> Iterator[str]:
        if self._stage == "new":
            self._stage = "begun"
            yield self._write_response("created", status="in_progress")
            yield self._write_response("in_progress")

    def _write_search(self, query: str | None) -> Iterator[str]:
        # The protocol allows no search once the message has started.
        if not self._shown.with_search or self._stage == "writing":
            return
        if self._stage == "begun":
            self._stage, self._index = "searching", 1
            item = self._build_search_item("in_progress")
            yield self._write("response.output_item.added", output_index=0, item=item)
            yield self._write("response.file_search_call.in_progress", output_index=0, item_id=item["id"])
        if query is not None:
            self._queries.append(query)
        yield self._write("response.file_search_call.searching", output_index=0, item_id=f"fs_{self._identifier}")

    def _write_delta(self, text: str) -> Iterator[str]:
        if not text:
            return
        yield from self._start_message()
        self._text.append(text)
        yield self._write_part_event("response.output_text.delta", delta=text, logprobs=[])

    def _start_message(self) -> Iterator[str]:
        if self._stage == "writing":
            return
        if self._stage == "searching":
            item = self._build_search_item("completed")
            yield self._write("response.file_search_call.completed", output_index=0, item_id=item["id"])
            yield self._write("response.output_item.done", output_index=0, item=item)
        self._stage = "writing"
        item = build_message_item(self._identifier, "in_progress", [])
        yield self._write("response.output_item.added", output_index=self._index, item=item)
        yield self._write_part_event("response.content_part.added", part=build_text_part(""))

    def _write_end(self, answer: AnswerOut) -> Iterator[str]:
        yield from self._write_delta(self._inert.finish())
        yield from self._start_message()
        files = self._shown.files_of(answer) if self._shown.with_search else None
        message = build_message(self._identifier, answer, self._shown.base_url, files)
        (part,) = message["content"]
        for number, annotation in enumerate(part["annotations"]):
            name = "response.output_text.annotation.added"
            yield self._write_part_event(name, annotation=annotation, annotation_index=number)
        yield self._write_part_event("response.output_text.done", text=part["text"], logprobs=[])
        yield self._write_part_event("response.content_part.done", part=part)
        yield self._write("response.output_item.done", output_index=self._index, item=message)
        call = build_search_call(self._identifier, self._queries, answer, self._shown.results, files or {})
        yield self._write_response(
            get_response_status(answer), [*([call] if self._index else []), message], answer=answer
        )
        yield DONE

    def _build_search_item(self, status: str) -> dict[str, Any]:
        return build_search_call(self._identifier, self._queries, status=status)

    def _write_response(
        self,
        name: str,
        output: Sequence[Mapping[str, Any]] = (),
        *,
        status: str | None = None,
        answer: AnswerOut | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> str:
        body = build_response_object(
            build_response_id(self._identifier, with_search=self._shown.with_search),
            self._body,
            status or name,
            output,
            created=self._created,
            answer=answer,
            error=error,
        )
        return self._write(f"response.{name}", response=body)

    def _write_part_event(self, name: str, **members: object) -> str:
        item = f"msg_{self._identifier}"
        return self._write(name, item_id=item, output_index=self._index, content_index=0, **members)

    def _write(self, name: str, **members: object) -> str:
        number, self._number = self._number, self._number + 1
        return format_event(name, {"type": name, "sequence_number": number, **members}, None)
