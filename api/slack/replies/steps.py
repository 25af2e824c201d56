"""The steps of a run as shown in Slack: a few short cards built from the run's events.

An update replaces a card's title and state but appends to its details, so changing numbers are in the title.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.answers.rendering import escape_markdown
from ingest.storage.counts import format_count
from rlm.loop.environment import ROOT_PURPOSE

# Maximum number of cards. If there are more steps, they share the last card.
MAX_STEPS = 10
TITLE_CHARS, DETAILS_CHARS = 150, 250
_STRATEGIES = {"direct": "is reading the best passages…", "table": "is computing over tables…"}
_DECISION_TITLES = {
    "direct": "Decide: read the best passages",
    "table": "Decide: compute over tables",
    "recursive": "Decide: work through the documents",
}
_STATUSES = {
    "retrieved": "has searched…",
    "planned": "is computing…",
    "cell": "is working through the documents…",
    "checking": "is checking each sentence…",
}


@dataclass(frozen=True)
class Card:
    """The current state of a step. Its title and details are neutralized, because documents may provide them."""

    id: str
    title: str
    details: str
    is_done: bool

    @property
    def state(self) -> str:
        return "complete" if self.is_done else "in_progress"

    def build_chunk(self, *, is_first: bool) -> dict[str, Any]:
        """Build the stream chunk for the card, with its details only if the card `is_first`."""
        chunk = {"type": "task_update", "id": self.id, "title": self.title, "status": self.state}
        return {**chunk, "details": self.details} if is_first and self.details else chunk

    def build_block(self) -> dict[str, Any]:
        block: dict[str, Any] = {
            "type": "task_card",
            "task_id": self.id,
            "title": self.title,
            "status": self.state,
        }
        if self.details:
            text = {"type": "rich_text_section", "elements": [{"type": "text", "text": self.details}]}
            block["details"] = {"type": "rich_text", "elements": [text]}
        return block


class RunSteps:
    """Collects the steps of a run. `status` describes the current step in words that can follow the bot's name."""

    def __init__(self) -> None:
        self.status = ""
        self._cards: dict[str, tuple[str, str]] = {}
        self._current = ""
        self._is_recursive = False
        self._searches = self._found = self._cell = self._calls = 0
        self._documents: set[str] = set()

    def add_event(self, kind: str, body: Mapping[str, Any]) -> None:
        """Add the next event of the run's log. Events that are not steps have no effect."""
        self.status = _format_status(kind, body) or self.status
        match kind:
            case "condensed":
                self._show_step("question", f"Understand the question: “{body.get('question', '')}”")
            case "routed":
                self._add_decision(str(body.get("strategy")), str(body.get("estimate", "")))
            case "retrieved":
                self._searches += 1
                self._found += int(body.get("passages", 0))
                self._add_search()
            case "reading":
                titles = list(dict.fromkeys(map(str, body.get("titles", ()))))
                self._show_step(
                    "read", f"Read {format_count(len(body.get('titles', ())), 'passage')}", ", ".join(titles)
                )
            case "planned":
                self._show_step("plan", "Compute over tables", " ".join(map(str, body.get("steps", ()))))
            case "working":
                self._add_progress(str(body["step"]), int(body["done"]), int(body["total"]))
            case "call" if self._is_recursive and self._current != "check" and body.get("purpose") != ROOT_PURPOSE:
                self._calls += 1
                self._documents |= {each["document_id"] for each in body.get("spans", ())}
                self._update_work_card()
            case "draft":
                self._show_step("write", "Write the answer")
            case "checking":
                self._show_step(
                    "check", f"Check {format_count(int(body.get('sentences', 0)), 'sentence')} against the sources"
                )

    def build_cards(self, *, has_ended: bool = False) -> list[Card]:
        """Build the cards, in the order in which the steps started."""
        return [
            Card(key, title, details, has_ended or key != self._current)
            for key, (title, details) in self._cards.items()
        ]

    def _add_progress(self, step: str, done_count: int, total: int) -> None:
        if step == "cells":
            self._cell = done_count
            self._update_work_card()
        else:
            self._show_step(f"rows: {step}", f"{step}: {done_count:,} of {total:,}")

    def _add_decision(self, strategy: str, estimate: str) -> None:
        self._is_recursive = strategy == "recursive"
        if title := _DECISION_TITLES.get(strategy):
            self._show_step("way", title, estimate)

    def _add_search(self) -> None:
        if self._is_recursive:
            self._update_work_card()
            return
        title = f"Search the documents: {format_count(self._found, 'passage')} found"
        self._show_step("search", title + (f" in {self._searches} searches" if self._searches > 1 else ""))

    def _update_work_card(self) -> None:
        done = [format_count(self._cell, "step")] if self._cell else []
        done += [f"{self._searches} search{'' if self._searches == 1 else 'es'}"] if self._searches else []
        done += [format_count(self._calls, "question") + " to the model"] if self._calls else []
        done += [format_count(len(self._documents), "document") + " read"] if self._documents else []
        self._show_step("work", "Work through the documents" + (": " + ", ".join(done) if done else ""))

    def _show_step(self, key: str, title: str, details: str = "") -> None:
        """Make a step the current one, and complete the previous step."""
        if key not in self._cards and len(self._cards) >= MAX_STEPS:
            key = list(self._cards)[-1]
        known = self._cards.get(key, ("", ""))[1]
        self._cards[key] = (_shorten_line(title, TITLE_CHARS), known or _shorten_line(details, DETAILS_CHARS))
        self._current = key


def build_plan_block(title: str, cards: Sequence[Card]) -> dict[str, Any]:
    """Build a block with the cards for an ordinary message."""
    return {"type": "plan", "title": title, "tasks": [card.build_block() for card in cards]}


def _format_status(kind: str, body: Mapping[str, Any]) -> str:
    if kind == "reading":
        return f"is reading {format_count(len(body.get('titles', ())), 'passage')}…"
    if kind == "working" and body.get("step") != "cells":
        return f"is at {body['done']:,} of {body['total']:,}…"
    if kind == "routed":
        return _STRATEGIES.get(str(body.get("strategy")), "is working through the documents…")
    return _STATUSES.get(kind, "")


def _shorten_line(text: str, max_chars: int) -> str:
    """Convert a string to one neutralized line of at most `max_chars` characters."""
    words = " ".join(text.split())
    return escape_markdown(words if len(words) <= max_chars else words[: max_chars - 1].rstrip() + "…")
