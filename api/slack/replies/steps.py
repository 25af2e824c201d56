"""The steps of a run as people in Slack follow them: one card each, few and short, made from the run's events.

Slack replaces a card's title and state, and appends its details: figures that change stand in the title.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.answers.rendering import inert_markdown
from rlm.loop.environment import ROOT

# Cards beyond these share the last one.
MOST_STEPS = 10
TITLE_CHARS, DETAILS_CHARS = 150, 250
_STRATEGIES = {"direct": "is reading the best passages…", "table": "is computing over tables…"}
_DECIDED = {
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
    """One step as it stands. Titles and details are inert: they may be of a document, or of a model."""

    id: str
    title: str
    details: str
    is_done: bool

    @property
    def state(self) -> str:
        return "complete" if self.is_done else "in_progress"

    def chunk(self, *, begins: bool) -> dict[str, Any]:
        """Return the piece of a stream that shows it, with details where it `begins`."""
        chunk = {"type": "task_update", "id": self.id, "title": self.title, "status": self.state}
        return {**chunk, "details": self.details} if begins and self.details else chunk

    def block(self) -> dict[str, Any]:
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


class Steps:
    """Gathers the steps of one run. `status` says what is being done, in Slack's form: after the bot's name."""

    def __init__(self) -> None:
        self.status = ""
        self._cards: dict[str, tuple[str, str]] = {}
        self._current = ""
        self._is_recursive = False
        self._searches = self._found = self._cell = self._calls = 0
        self._documents: set[str] = set()

    def take(self, kind: str, body: Mapping[str, Any]) -> None:
        """Take the next event of the run's log; kinds that are no step change nothing."""
        self.status = _status(kind, body) or self.status
        match kind:
            case "condensed":
                self._step("question", f"Understand the question: “{body.get('question', '')}”")
            case "routed":
                self._routed(str(body.get("strategy")), str(body.get("estimate", "")))
            case "retrieved":
                self._searches += 1
                self._found += int(body.get("passages", 0))
                self._searched()
            case "reading":
                titles = list(dict.fromkeys(map(str, body.get("titles", ()))))
                self._step("read", f"Read {_counted(len(body.get('titles', ())), 'passage')}", ", ".join(titles))
            case "planned":
                self._step("plan", "Compute over tables", " ".join(map(str, body.get("steps", ()))))
            case "working":
                self._working(str(body["step"]), int(body["done"]), int(body["total"]))
            case "call" if self._is_recursive and self._current != "check" and body.get("purpose") != ROOT:
                self._calls += 1
                self._documents |= {each["document_id"] for each in body.get("spans", ())}
                self._work()
            case "draft":
                self._step("write", "Write the answer")
            case "checking":
                self._step("check", f"Check {_counted(int(body.get('sentences', 0)), 'sentence')} against the sources")

    def cards(self, *, ended: bool = False) -> list[Card]:
        """Return the cards in the order in which their steps began."""
        return [
            Card(key, title, details, ended or key != self._current) for key, (title, details) in self._cards.items()
        ]

    def _working(self, step: str, done: int, total: int) -> None:
        if step == "cells":
            self._cell = done
            self._work()
        else:
            self._step(f"rows: {step}", f"{step}: {done:,} of {total:,}")

    def _routed(self, strategy: str, estimate: str) -> None:
        self._is_recursive = strategy == "recursive"
        if title := _DECIDED.get(strategy):
            self._step("way", title, estimate)

    def _searched(self) -> None:
        if self._is_recursive:
            self._work()
            return
        title = f"Search the documents: {_counted(self._found, 'passage')} found"
        self._step("search", title + (f" in {self._searches} searches" if self._searches > 1 else ""))

    def _work(self) -> None:
        done = [_counted(self._cell, "step")] if self._cell else []
        done += [f"{self._searches} search{'' if self._searches == 1 else 'es'}"] if self._searches else []
        done += [_counted(self._calls, "question") + " to the model"] if self._calls else []
        done += [_counted(len(self._documents), "document") + " read"] if self._documents else []
        self._step("work", "Work through the documents" + (": " + ", ".join(done) if done else ""))

    def _step(self, key: str, title: str, details: str = "") -> None:
        """Show what is being done now; whatever was being done before is done."""
        if key not in self._cards and len(self._cards) >= MOST_STEPS:
            key = list(self._cards)[-1]
        known = self._cards.get(key, ("", ""))[1]
        self._cards[key] = (_short(title, TITLE_CHARS), known or _short(details, DETAILS_CHARS))
        self._current = key


def plan_block(title: str, cards: Sequence[Card]) -> dict[str, Any]:
    """Return the cards as a block, for a message that is no stream."""
    return {"type": "plan", "title": title, "tasks": [card.block() for card in cards]}


def _status(kind: str, body: Mapping[str, Any]) -> str:
    if kind == "reading":
        return f"is reading {_counted(len(body.get('titles', ())), 'passage')}…"
    if kind == "working" and body.get("step") != "cells":
        return f"is at {body['done']:,} of {body['total']:,}…"
    if kind == "routed":
        return _STRATEGIES.get(str(body.get("strategy")), "is working through the documents…")
    return _STATUSES.get(kind, "")


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _short(text: str, most: int) -> str:
    """Make a text inert, on one line, and short."""
    words = " ".join(text.split())
    return inert_markdown(words if len(words) <= most else words[: most - 1].rstrip() + "…")
