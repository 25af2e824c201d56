"""The steps of a run as shown in Slack: a few short cards built from the run's events.

An update replaces a card's title and state but appends to its details, so changing numbers are in the title.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from api.answers.mrkdwn import escape_markdown
from api.languages.catalogue import Texts
from api.slack.numbers import format_number
from rlm.loop.environment import ROOT_PURPOSE
from rlm.loop.titles import PROGRAM_STEPS

# Maximum number of cards. If there are more steps, they share the last card.
MAX_STEPS = 10
TITLE_CHARS, DETAILS_CHARS = 150, 250
# Maximum number of cards for the steps of the model's program, so that the last steps have their own cards.
_MAX_PROGRAM_STEPS = 5
_PROGRAM = "program: "  # Prefix of the ids of these cards.


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

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self.status = ""
        self._cards: dict[str, tuple[str, str]] = {}
        self._current = ""
        self._is_recursive = False
        self._searches = self._found = self._cell = self._calls = self._titles = 0
        self._documents: set[str] = set()

    def add_event(self, kind: str, body: Mapping[str, Any]) -> None:
        """Add the next event of the run's log. Events that are not steps have no effect."""
        texts = self._texts
        self.status = self._format_status(kind, body) or self.status
        match kind:
            case "condensed":
                self._show_step(
                    "question",
                    texts.translate("Understand the question: “{question}”", question=body.get("question", "")),
                )
            case "routed":
                estimate = texts.translate_remark(body.get("coded_estimate"), str(body.get("estimate", "")))
                self._add_decision(str(body.get("strategy")), estimate)
            case "retrieved":
                self._searches += 1
                self._found += int(body.get("passages", 0))
                self._add_search()
            case "reading" if body.get("titles"):
                titles = list(dict.fromkeys(map(str, body.get("titles", ()))))
                count = len(body.get("titles", ()))
                self._show_step(
                    "read",
                    texts.translate_count(count, "Read {n} passage", "Read {n} passages", n=self._format(count)),
                    ", ".join(titles),
                )
            case "planned":
                self._show_step("plan", texts.translate("Compute over tables"), " ".join(self._translate_plan(body)))
            case "working" | "cell" | "call":
                self._add_work(kind, body)
            case "draft":
                self._show_step("write", texts.translate("Write the answer"))
            case "checking":
                count = int(body.get("sentences", 0))
                self._show_step(
                    "check",
                    texts.translate_count(
                        count,
                        "Check {n} sentence against the sources",
                        "Check {n} sentences against the sources",
                        n=self._format(count),
                    ),
                )

    @property
    def has_model_titles(self) -> bool:
        """True if the model wrote the titles of some steps. They may quote documents."""
        return self._titles > 0

    def build_cards(self, *, has_ended: bool = False, hides_contents: bool = False) -> list[Card]:
        """Build the cards, in the order in which the steps started.

        With `hides_contents`, the cards contain nothing from documents or from the model.
        """
        cards = [
            Card(key, title, details, has_ended or key != self._current)
            for key, (title, details) in self._cards.items()
        ]
        # guard: slack-hide-model-titles
        if not hides_contents:
            return cards
        neutral = self._texts.translate("A step of the program")
        return [
            replace(card, title=neutral if card.id.startswith(_PROGRAM) else card.title, details="") for card in cards
        ]

    def _add_work(self, kind: str, body: Mapping[str, Any]) -> None:
        if kind == "working":
            step = self._texts.translate_remark(body.get("coded_step"), str(body["step"]))
            self._add_progress(step, int(body["done"]), int(body["total"]))
        elif kind == "cell":
            self._add_program_step(self._texts.translate_remark(body.get("coded_title"), str(body.get("title") or "")))
        elif self._is_recursive and self._current != "check" and body.get("purpose") != ROOT_PURPOSE:
            self._calls += 1
            self._documents |= {each["document_id"] for each in body.get("spans", ())}
            self._update_work_card()

    def _translate_plan(self, body: Mapping[str, Any]) -> list[str]:
        steps = list(map(str, body.get("steps", ())))
        coded = body.get("coded_steps") or [None] * len(steps)
        return [self._texts.translate_remark(each, step) for each, step in zip(coded, steps, strict=False)]

    def _add_progress(self, step: str, done_count: int, total: int) -> None:
        if step == PROGRAM_STEPS:
            self._cell = done_count
            self._update_work_card()
        else:
            progress = self._texts.translate(
                "{step}: {done} of {total}", step=step, done=self._format(done_count), total=self._format(total)
            )
            self._show_step(f"rows: {step}", progress)

    def _add_decision(self, strategy: str, estimate: str) -> None:
        self._is_recursive = strategy == "recursive"
        texts = self._texts
        match strategy:
            case "direct":
                self._show_step("way", texts.translate("Plan: read the best passages"), estimate)
            case "table":
                self._show_step("way", texts.translate("Plan: compute over tables"), estimate)
            case "recursive":
                self._show_step("way", texts.translate("Plan: work through the documents"), estimate)

    def _add_search(self) -> None:
        if self._is_recursive:
            self._update_work_card()
            return
        title = self._texts.translate_count(
            self._found,
            "Search the documents: {n} passage found",
            "Search the documents: {n} passages found",
            n=self._format(self._found),
        )
        self._show_step("search", title)

    def _add_program_step(self, title: str) -> None:
        """Show a step of the model's program, in the model's words. Further steps share the last card of these."""
        if not title:
            return
        self._titles = min(self._titles + 1, _MAX_PROGRAM_STEPS)
        current = self._current
        self._show_step(f"{_PROGRAM}{self._titles}", title)
        self._current = current

    def _update_work_card(self) -> None:
        texts = self._texts
        counts = [
            texts.translate_count(self._cell, "{n} step", "{n} steps") if self._cell else "",
            texts.translate_count(self._searches, "{n} search", "{n} searches") if self._searches else "",
            texts.translate_count(self._calls, "{n} question to the model", "{n} questions to the model")
            if self._calls
            else "",
            texts.translate_count(len(self._documents), "{n} document read", "{n} documents read")
            if self._documents
            else "",
        ]
        done = ", ".join(filter(None, counts))
        title = (
            texts.translate("Work through the documents: {done}", done=done)
            if done
            else texts.translate("Work through the documents")
        )
        self._show_step("work", title)

    def _format(self, number: int) -> str:
        return format_number(number, self._texts)

    def _format_status(self, kind: str, body: Mapping[str, Any]) -> str:
        """Describe the current step. Slack shows this after the bot's name."""
        texts = self._texts
        match kind, body.get("strategy"):
            case "reading", _ if count := len(body.get("titles", ())):
                return texts.translate_count(
                    count, "is reading {n} passage…", "is reading {n} passages…", n=self._format(count)
                )
            case "working", _ if body.get("step") != PROGRAM_STEPS:
                done, total = self._format(int(body["done"])), self._format(int(body["total"]))
                return texts.translate("is at {done} of {total}…", done=done, total=total)
            case "routed", "direct":
                return texts.translate("is reading the best passages…")
            case "routed", "table":
                return texts.translate("is computing over tables…")
            case (("routed" | "cell"), _):
                return texts.translate("is working through the documents…")
            case "retrieved", _:
                return texts.translate("has searched the documents…")
            case "planned", _:
                return texts.translate("is computing…")
            case "checking", _:
                return texts.translate("is checking each sentence…")
        return ""

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


def _shorten_line(text: str, max_chars: int) -> str:
    """Convert a string to one neutralized line of at most `max_chars` characters."""
    words = " ".join(text.split())
    return escape_markdown(words if len(words) <= max_chars else words[: max_chars - 1].rstrip() + "…")
