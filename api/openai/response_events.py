"""Formats the events of a streamed response, with the event names and the event order of Open Responses."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Literal

from api.answers.schemas import AnswerOut
from api.http.problems import convert_to_openai_error
from api.http.sse import DONE, format_event
from api.openai.inert import MarkdownNeutralizer
from api.openai.limits import find_text_limit, limit_text
from api.openai.responses import (
    ResponseIn,
    ResponseView,
    build_answer_item,
    build_message_item,
    build_refusal_part,
    build_response_id,
    build_response_object,
    build_text_part,
    get_response_status,
)
from api.openai.search_results import build_search_call
from rlm.answers import Answer
from rlm.events import Completed, Delta, Event, Reading, Retrieved

# Places of events in a response's stream. A piece of text has the place `_TEXT` plus the offset of its end. No text
# reaches `_END`, where the events after it begin: a restarted answer may be shorter than the text that a client has
# read. The places are 32-bit integers, which every client reads.
_CREATED, _IN_PROGRESS, _SEARCH_ADDED, _SEARCH_BEGUN, _SEARCHING, _SEARCHED, _SEARCH_DONE, _ADDED, _TEXT = range(9)
_END = 2**30


class ResponseEventFormatter:
    """Formats an answer's events as the events of a response, numbered from 0."""

    def __init__(
        self,
        save_answer: Callable[[Answer], AnswerOut],
        identifier: str,
        body: ResponseIn | Mapping[str, Any],
        view: ResponseView,
        *,
        created_at: float | None = None,
        with_form: bool = False,
    ) -> None:
        """Create the formatter. With a requested form, nothing is written before the answer is in that form."""
        self._keep = save_answer
        self._identifier = identifier
        self._body = body
        self._shown = view
        self._with_form = with_form
        self._created = created_at or time.time()
        self._completed: float | None = None
        self._number = -1
        self._queries: list[str] = []
        self._text = ""
        self._written = 0  # Length of the text that was sent.
        self._inert = MarkdownNeutralizer()
        self._index = 1 if view.with_search else 0  # Index of the message in the response's `output`.
        self._stage: Literal["new", "begun", "searching", "writing"] = "new"

    @property
    def _max_tokens(self) -> int | None:
        body = self._body
        limit: int | None = body.max_output_tokens if isinstance(body, ResponseIn) else body.get("max_output_tokens")
        return limit

    def format_event(self, event: Event) -> str:
        return "".join(self._iter_formatted_events(event))

    def format_failure(self, problem: Mapping[str, Any]) -> str:
        """Return the final events of a failed response."""
        started = list(self._iter_start_events())
        error = convert_to_openai_error(problem)
        return "".join([*started, self._format_response_event("failed", _END, error=error), DONE])

    def _iter_formatted_events(self, event: Event) -> Iterator[str]:
        yield from self._iter_start_events()
        # If documents fit in the model's context window, they are read whole, without a search.
        if isinstance(event, Retrieved | Reading):
            yield from self._iter_search_events(event.query if isinstance(event, Retrieved) else None)
        elif isinstance(event, Delta) and not self._with_form:
            self._text += event.text
            yield from self._iter_delta_events(self._inert.feed(event.text))
        elif isinstance(event, Completed):
            yield from self._iter_end_events(self._keep(event.answer))

    def _iter_start_events(self) -> Iterator[str]:
        if self._stage == "new":
            self._stage = "begun"
            yield self._format_response_event("created", _CREATED, status="in_progress")
            yield self._format_response_event("in_progress", _IN_PROGRESS)

    def _iter_search_events(self, query: str | None) -> Iterator[str]:
        # Once the message has started, the protocol allows no search.
        if not self._shown.with_search or self._stage == "writing":
            return
        if query is not None:
            self._queries.append(query)
        yield from self._iter_searching_events()

    def _iter_searching_events(self) -> Iterator[str]:
        """Yield the events of a search in progress, once."""
        if self._stage == "begun":
            self._stage = "searching"
            item = self._build_search_item("in_progress")
            yield self._format_numbered_event("response.output_item.added", _SEARCH_ADDED, output_index=0, item=item)
            yield self._format_numbered_event(
                "response.file_search_call.in_progress", _SEARCH_BEGUN, output_index=0, item_id=item["id"]
            )
            yield self._format_numbered_event(
                "response.file_search_call.searching", _SEARCHING, output_index=0, item_id=item["id"]
            )

    def _iter_delta_events(self, text: str) -> Iterator[str]:
        text = self._remove_read_text(self._remove_excess_text(text))
        if text:
            yield from self._iter_message_start_events()
            yield self._format_part_event("response.output_text.delta", _TEXT + self._written, delta=text, logprobs=[])

    def _remove_excess_text(self, text: str) -> str:
        """Return the part of the next piece of text that `max_output_tokens` allows."""
        if self._max_tokens is None or self._with_form:
            return text
        return text[: max(0, find_text_limit(self._text, self._max_tokens) - self._written)]

    def _remove_read_text(self, text: str) -> str:
        """Count the next piece of text, and return the part of it that the client has not read yet."""
        self._written += len(text)
        return text

    def _iter_message_start_events(self, part: Mapping[str, Any] | None = None) -> Iterator[str]:
        if self._stage == "writing":
            return
        yield from self._iter_item_start_events(build_message_item(self._identifier, "in_progress", []))
        yield self._format_part_event("response.content_part.added", _TEXT, part=part or build_text_part(""))

    def _iter_item_start_events(self, item: Mapping[str, Any]) -> Iterator[str]:
        if self._shown.with_search:
            yield from self._iter_searching_events()
            search = self._build_search_item("completed")
            yield self._format_numbered_event(
                "response.file_search_call.completed", _SEARCHED, output_index=0, item_id=search["id"]
            )
            yield self._format_numbered_event("response.output_item.done", _SEARCH_DONE, output_index=0, item=search)
        self._stage = "writing"
        yield self._format_numbered_event("response.output_item.added", _ADDED, output_index=self._index, item=item)

    def _iter_end_events(self, answer: AnswerOut) -> Iterator[str]:
        shown = limit_text(answer, self._max_tokens)
        found = self._shown.find_texts(answer) if self._shown.with_search else None
        item = build_answer_item(self._identifier, shown, self._shown.base_url, None if found is None else found.files)
        if item["type"] == "function_call":
            place = yield from self._iter_call_events(item)
        elif (part := item["content"][0])["type"] == "refusal":
            place = yield from self._iter_refusal_events(part)
        else:
            place = yield from self._iter_text_events(part)
        yield self._format_numbered_event("response.output_item.done", place, output_index=self._index, item=item)
        call = build_search_call(self._identifier, answer.searched.queries, answer, self._shown.results, found)
        yield self._format_response_event(
            get_response_status(shown), place + 1, [*([call] if self._index else []), item], answer=answer
        )
        yield DONE

    def _iter_text_events(self, part: Mapping[str, Any]) -> Generator[str, None, int]:
        """Yield the end of the text. Return the place of the next event, as the next two methods do."""
        yield from self._iter_delta_events(part["text"] if self._with_form else self._inert.finish())
        yield from self._iter_message_start_events()
        place = _END
        for number, annotation in enumerate(part["annotations"]):
            name = "response.output_text.annotation.added"
            yield self._format_part_event(name, place + number, annotation=annotation, annotation_index=number)
        place += len(part["annotations"])
        yield self._format_part_event("response.output_text.done", place, text=part["text"], logprobs=[])
        yield self._format_part_event("response.content_part.done", place + 1, part=part)
        return place + 2

    def _iter_refusal_events(self, part: Mapping[str, Any]) -> Generator[str, None, int]:
        yield from self._iter_message_start_events(build_refusal_part(""))
        place = _END
        yield self._format_part_event("response.refusal.delta", place, delta=part["refusal"])
        yield self._format_part_event("response.refusal.done", place + 1, refusal=part["refusal"])
        yield self._format_part_event("response.content_part.done", place + 2, part=part)
        return place + 3

    def _iter_call_events(self, item: Mapping[str, Any]) -> Generator[str, None, int]:
        yield from self._iter_item_start_events({**item, "arguments": "", "status": "in_progress"})
        where = {"item_id": item["id"], "output_index": self._index}
        kind, place = "response.function_call_arguments", _END
        yield self._format_numbered_event(f"{kind}.delta", place, **where, delta=item["arguments"])
        yield self._format_numbered_event(
            f"{kind}.done", place + 1, **where, name=item["name"], arguments=item["arguments"]
        )
        return place + 2

    def _build_search_item(self, status: str) -> dict[str, Any]:
        return build_search_call(self._identifier, self._queries, status=status)

    def _format_response_event(
        self,
        name: str,
        place: int,
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
            completed_at=self._completed,
            answer=answer,
            error=error,
        )
        return self._format_numbered_event(f"response.{name}", place, response=body)

    def _format_part_event(self, name: str, place: int, **fields: object) -> str:
        item = f"msg_{self._identifier}"
        return self._format_numbered_event(
            name, place, item_id=item, output_index=self._index, content_index=0, **fields
        )

    def _format_numbered_event(self, name: str, place: int, /, **fields: object) -> str:
        number = self._assign_number(place)
        if number is None:
            return ""
        return format_event(name, {"type": name, "sequence_number": number, **fields}, None)

    def _assign_number(self, place: int) -> int | None:
        """Return the number of the next event, or None if the client already has the event at this place."""
        self._number += 1
        return self._number


class ResumableEventFormatter(ResponseEventFormatter):
    """Formats the events after the event number `starting_after`.

    The number of an event is its place in the response. It is therefore the same while the answer is written and when
    the stored answer is sent again, in every process. Numbers increase, with gaps.
    """

    def __init__(
        self,
        load_answer: Callable[[], AnswerOut],
        identifier: str,
        body: Mapping[str, Any],
        view: ResponseView,
        *,
        created_at: float,
        starting_after: int,
    ) -> None:
        super().__init__(lambda _: load_answer(), identifier, body, view, created_at=created_at)
        self._number = starting_after
        self._read_chars = max(0, starting_after - _TEXT)

    def restart(self) -> None:
        """Begin the text again. Text is sent from the place that was reached on, because none can be taken back."""
        self._read_chars = max(self._read_chars, self._written)
        self._text, self._written, self._inert = "", 0, MarkdownNeutralizer()

    def format_start(self) -> str:
        """Return the first events, unless they were formatted before."""
        return "".join(self._iter_start_events())

    def prepare_end(
        self, body: Mapping[str, Any], view: ResponseView, *, with_form: bool, completed_at: float | None
    ) -> None:
        """Use these members of the request, and present the answer as it may be shown now."""
        self._body, self._shown, self._with_form = body, view, with_form
        self._completed = completed_at

    def _remove_read_text(self, text: str) -> str:
        begin, self._written = self._written, self._written + len(text)
        return text[max(0, self._read_chars - begin) :]

    def _assign_number(self, place: int) -> int | None:
        if place <= self._number:
            return None
        self._number = place
        return place
