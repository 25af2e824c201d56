"""Formats the events of a streamed response, with the event names and the event order of Open Responses."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from api.answers.schemas import AnswerOut
from api.http.problems import convert_to_openai_error
from api.http.sse import DONE, format_event
from api.openai.inert import MarkdownNeutralizer
from api.openai.responses import (
    ResponseIn,
    ResponseView,
    build_answer_item,
    build_message_item,
    build_refusal_part,
    build_response_id,
    build_response_object,
    build_search_call,
    build_text_part,
    get_response_status,
)
from rlm.answers import Answer
from rlm.events import Completed, Delta, Event, Reading, Retrieved


class ResponseEventFormatter:
    """Formats an answer's events as the events of a response, numbered from 0."""

    def __init__(
        self,
        save_answer: Callable[[Answer], AnswerOut],
        identifier: str,
        body: ResponseIn,
        view: ResponseView,
        *,
        with_form: bool = False,
    ) -> None:
        """Create the formatter. With a requested form, nothing is written before the answer is in that form."""
        self._keep = save_answer
        self._identifier = identifier
        self._body = body
        self._shown = view
        self._with_form = with_form
        self._created = time.time()
        self._number = 0
        self._queries: list[str] = []
        self._text: list[str] = []
        self._inert = MarkdownNeutralizer()
        self._index = 0  # Index of the message in the response's `output`.
        self._stage: Literal["new", "begun", "searching", "writing"] = "new"

    def format_event(self, event: Event) -> str:
        return "".join(self._iter_formatted_events(event))

    def format_failure(self, problem: Mapping[str, Any]) -> str:
        """Return the final events of a failed response."""
        started = list(self._iter_start_events())
        error = convert_to_openai_error(problem)
        return "".join([*started, self._format_response_event("failed", error=error), DONE])

    def _iter_formatted_events(self, event: Event) -> Iterator[str]:
        yield from self._iter_start_events()
        # If documents fit in the model's context window, they are read whole, without a search.
        if isinstance(event, Retrieved | Reading):
            yield from self._iter_search_events(event.query if isinstance(event, Retrieved) else None)
        elif isinstance(event, Delta) and not self._with_form:
            yield from self._iter_delta_events(self._inert.feed(event.text))
        elif isinstance(event, Completed):
            yield from self._iter_end_events(self._keep(event.answer))

    def _iter_start_events(self) -> Iterator[str]:
        if self._stage == "new":
            self._stage = "begun"
            yield self._format_response_event("created", status="in_progress")
            yield self._format_response_event("in_progress")

    def _iter_search_events(self, query: str | None) -> Iterator[str]:
        # Once the message has started, the protocol allows no search.
        if not self._shown.with_search or self._stage == "writing":
            return
        if self._stage == "begun":
            self._stage, self._index = "searching", 1
            item = self._build_search_item("in_progress")
            yield self._format_numbered_event("response.output_item.added", output_index=0, item=item)
            yield self._format_numbered_event(
                "response.file_search_call.in_progress", output_index=0, item_id=item["id"]
            )
        if query is not None:
            self._queries.append(query)
        yield self._format_numbered_event(
            "response.file_search_call.searching", output_index=0, item_id=f"fs_{self._identifier}"
        )

    def _iter_delta_events(self, text: str) -> Iterator[str]:
        if not text:
            return
        yield from self._iter_message_start_events()
        self._text.append(text)
        yield self._format_part_event("response.output_text.delta", delta=text, logprobs=[])

    def _iter_message_start_events(self, part: Mapping[str, Any] | None = None) -> Iterator[str]:
        if self._stage == "writing":
            return
        yield from self._iter_item_start_events(build_message_item(self._identifier, "in_progress", []))
        yield self._format_part_event("response.content_part.added", part=part or build_text_part(""))

    def _iter_item_start_events(self, item: Mapping[str, Any]) -> Iterator[str]:
        if self._stage == "searching":
            search = self._build_search_item("completed")
            yield self._format_numbered_event(
                "response.file_search_call.completed", output_index=0, item_id=search["id"]
            )
            yield self._format_numbered_event("response.output_item.done", output_index=0, item=search)
        self._stage = "writing"
        yield self._format_numbered_event("response.output_item.added", output_index=self._index, item=item)

    def _iter_end_events(self, answer: AnswerOut) -> Iterator[str]:
        files = self._shown.files_of(answer) if self._shown.with_search else None
        item = build_answer_item(self._identifier, answer, self._shown.base_url, files)
        if item["type"] == "function_call":
            yield from self._iter_call_events(item)
        elif (part := item["content"][0])["type"] == "refusal":
            yield from self._iter_refusal_events(part)
        else:
            yield from self._iter_text_events(part)
        yield self._format_numbered_event("response.output_item.done", output_index=self._index, item=item)
        call = build_search_call(self._identifier, self._queries, answer, self._shown.results, files or {})
        yield self._format_response_event(
            get_response_status(answer), [*([call] if self._index else []), item], answer=answer
        )
        yield DONE

    def _iter_text_events(self, part: Mapping[str, Any]) -> Iterator[str]:
        yield from self._iter_delta_events(part["text"] if self._with_form else self._inert.finish())
        yield from self._iter_message_start_events()
        for number, annotation in enumerate(part["annotations"]):
            name = "response.output_text.annotation.added"
            yield self._format_part_event(name, annotation=annotation, annotation_index=number)
        yield self._format_part_event("response.output_text.done", text=part["text"], logprobs=[])
        yield self._format_part_event("response.content_part.done", part=part)

    def _iter_refusal_events(self, part: Mapping[str, Any]) -> Iterator[str]:
        yield from self._iter_message_start_events(build_refusal_part(""))
        yield self._format_part_event("response.refusal.delta", delta=part["refusal"])
        yield self._format_part_event("response.refusal.done", refusal=part["refusal"])
        yield self._format_part_event("response.content_part.done", part=part)

    def _iter_call_events(self, item: Mapping[str, Any]) -> Iterator[str]:
        yield from self._iter_item_start_events({**item, "arguments": "", "status": "in_progress"})
        where = {"item_id": item["id"], "output_index": self._index}
        name = "response.function_call_arguments"
        yield self._format_numbered_event(f"{name}.delta", **where, delta=item["arguments"])
        yield self._format_numbered_event(f"{name}.done", **where, name=item["name"], arguments=item["arguments"])

    def _build_search_item(self, status: str) -> dict[str, Any]:
        return build_search_call(self._identifier, self._queries, status=status)

    def _format_response_event(
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
            created_at=self._created,
            answer=answer,
            error=error,
        )
        return self._format_numbered_event(f"response.{name}", response=body)

    def _format_part_event(self, name: str, **fields: object) -> str:
        item = f"msg_{self._identifier}"
        return self._format_numbered_event(name, item_id=item, output_index=self._index, content_index=0, **fields)

    def _format_numbered_event(self, name: str, /, **fields: object) -> str:
        number, self._number = self._number, self._number + 1
        return format_event(name, {"type": name, "sequence_number": number, **fields}, None)
