"""A question's descriptions, innermost first: "the designer of the crossing that is guarded by a swan" has two.

English builds to the right, so the innermost description is the last "the …" of a question: the last one with a clause
of its own at first, and then the last one before what was found in its place. Where a clause ends is seldom known; the
rest of the sentence is taken with it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

# Words that ask for a property; what has it is described after them. And "the world" is described by nobody.
PROPERTY = (
    r"(?:ages?|amounts?|colou?rs?|costs?|dates?|heights?|lengths?|names?|numbers?|prices?|sizes?|titles?|weights?|world"
    r"|years?)\b"
)
_DESCRIBED = re.compile(
    rf"\bthe (?!{PROPERTY})(?=(?:(?!and\b)[\w'’-]+ ){{1,12}}?(?:that|who|whose|whom|which|where)\b)", re.IGNORECASE
)
# "In the hands of" and its like are prepositions that describe nothing.
_PREPOSITION = (
    r"(?<!\bin )(?<!\bat )(?<!\bby )(?<!\bunder )(?<!\binto )(?<!\bfrom )"
    r"|(?!the (?:aegis|auspices|care|charge|command|company|course|custody|direction|employ|end|eyes?|guidance|hands?"
    r"|instruction|leadership|name|patronage|possession|rule|service|sign|supervision|tutelage|wing) of\b)"
)
_THE = re.compile(rf"(?:{_PREPOSITION})\bthe (?!{PROPERTY})", re.IGNORECASE)
_SENTENCE = re.compile(r"[^?]*\?")
# What is described after these words is the answer itself.
_OPENING = re.compile(rf"(?:\w+\s+)?(?:is|was|are|were)?\s*(?:the {PROPERTY} of)?\s*", re.IGNORECASE)
# "In which year was the body … granted its charter?": the last words say what is asked.
_INVERTED = re.compile(
    r"(?:(?:in|on|at|to|from|for) (?:which|what)|when|where|how|why)\b.{0,40}?"
    r"\b(?:is|was|are|were|did|does|do|has|had)\b",
    re.IGNORECASE,
)
_TAIL_WORDS = 3
# "… a man who turns the soil": what a thing without an article of its own does to another is no link.
_OF_AN_INDEFINITE = re.compile(
    r"\b(?:an?|someone|somebody|something) (?:[\w'’-]+ ){0,4}?(?:who|that|which) (?:[\w'’-]+ ){1,2}$", re.IGNORECASE
)
# "the town in which the fair … is held": what is described after these words leaves their verb for the end.
_INVERTING = re.compile(r"\b(?:\w+ (?:whom|which|whose [\w'’-]+)|where) the ", re.IGNORECASE)
_VERB_LEFT = re.compile(
    r" (?:(?:is|was|are|were|(?:has|have|had) been) [\w'’-]+|[\w'’-]+ed"
    r"|[\w'’-]+s (?:by|in|on|with) (?:its|his|her|their) [\w'’-]+)$",
    re.IGNORECASE,
)
# So does what is described in a turned question, "was … granted its charter" and "did … take place for the first time".
_OBJECT = r"(?: (?:its|his|her|their) [\w'’-]+)?"
_LEFT_BY_BE = re.compile(
    rf" (?:first |last )?(?:[\w'’-]+ed|born|built|held|made|put|sold|sunk|won|written){_OBJECT}$", re.IGNORECASE
)
_LEFT_BY_DO = re.compile(
    r" (?:first |last )?(?:appear|become|begin|burn|cease|close|come|die|end|fall|happen|move|occur|open|perish|retire"
    r"|sail|settle|sink|start|stop|take place|touch)(?: (?!(?:a|an)\b)[\w'’-]+){0,4}$",
    re.IGNORECASE,
)
_LEFT_BY = {
    **dict.fromkeys(("is", "was", "are", "were"), _LEFT_BY_BE),
    **dict.fromkeys(("did", "does", "do"), _LEFT_BY_DO),
}
_NEWER = r"(?:later|latest|newer|newest|(?:more|most) recent)\b"
_LATER = re.compile(
    rf"\b(?:take|use|trust|prefer|follow) the {_NEWER}"
    rf"|(?<!not )\bthe {_NEWER}(?: \w+){{0,2}} (?:is|are) (?:right|correct|true)\b",
    re.IGNORECASE,
)
MAX_LINKS = 8


@dataclass(frozen=True)
class Links:
    """A question with what is found of it so far: `whole` as it was, `asked` with names in place of descriptions.

    `notes` are its other sentences, which hold for every link; `found` are the names as the documents write them, and
    `rest` is what stands in `asked` after the last one.
    """

    whole: str
    asked: str
    notes: str = ""
    found: tuple[str, ...] = ()
    rest: str = ""

    @classmethod
    def of(cls, question: str) -> "Links":
        """Of a question whose first sentence with a question mark, or all of it, is what is asked."""
        sentence = _SENTENCE.search(question)
        asked = (sentence[0] if sentence else question).strip(" ?\n")
        return cls(asked, asked, question[sentence.end() :].strip() if sentence else "")

    @property
    def next(self) -> str | None:
        """The description to be looked up next; None where the question itself can be."""
        span = self._span()
        return None if span is None else self.asked[slice(*span)]

    @property
    def kind(self) -> str:
        """The first word of what the next description calls its thing, such as "regatta" of "the regatta held in …"."""
        described = (self.next or "").split()
        return described[1] if len(described) > 1 else ""

    @property
    def name(self) -> str | None:
        """The name that what is looked up next hangs on; None for the first description."""
        return self.found[-1] if self.found else None

    @property
    def later(self) -> bool:
        """Whether the notes say that of two sources the later one is right."""
        return _LATER.search(self.notes) is not None

    @property
    def query(self) -> str:
        """What to search for: the next description, or the question as it stands now."""
        if (description := self.next) is not None:
            return description
        return f"{self.asked} {self._tail}".strip()

    @property
    def task(self) -> str:
        """What to ask a reader: for the next description's name, or the question itself; and the notes."""
        return f"{self.short_task}{self._noted}"

    @property
    def short_task(self) -> str:
        """The same without the notes, for a question about one sentence."""
        return f"{self.query}?" if self.next is None else f"What is the name of {self.next}?"

    def answers(self, answer: str) -> bool:
        """Whether it is not just the name that is asked about: a small model likes to give that back."""
        said = answer.casefold().removeprefix("the ").strip()
        return self.name is None or said not in self.name.casefold()

    def put(self, name: str) -> "Links":
        """With `name` in place of the next description."""
        span = self._span()
        assert span is not None, "there is a description"
        start, end = span
        rest = self.asked[end:]
        return replace(self, asked=f"{self.asked[:start]}{name}{rest}", found=(*self.found, name), rest=rest)

    @property
    def _noted(self) -> str:
        return f" {self.notes}" if self.notes else ""

    def _span(self) -> tuple[int, int] | None:
        """Of the next description, from its "the" to the end, less a verb that belongs to what is around it."""
        if len(self.found) >= MAX_LINKS:
            return None
        start = self._start()
        if start is None:
            return None
        end = len(self.asked)
        if turned := _INVERTED.match(self.whole):
            left_by = _LEFT_BY.get(turned[0].split()[-1].lower())
            left = left_by.search(self.asked, start) if left_by else None
            end = left.start() if left else end
        left = (
            _VERB_LEFT.search(self.asked, start, end) if _INVERTING.search(self.asked, 0, start + len("the ")) else None
        )
        return start, left.start() if left else end

    def _start(self) -> int | None:
        pattern = _THE if self.found else _DESCRIBED
        end = len(self.asked) - len(self.rest) - len(self.found[-1]) if self.found else len(self.asked)
        starts = [match.start() for match in pattern.finditer(self.asked, 0, max(0, end))]
        while not self.found and len(starts) > 1 and _OF_AN_INDEFINITE.search(self.asked[: starts[-1]]):
            starts.pop()
        if not starts or _OPENING.fullmatch(self.asked, 0, starts[-1]):
            return None
        return starts[-1]

    @property
    def _tail(self) -> str:
        if not self.found or self.rest or not _INVERTED.match(self.whole):
            return ""
        return " ".join(self.whole.split()[-_TAIL_WORDS:])


def descriptions(question: str) -> Sequence[str]:
    """Every description of a question, innermost first, with a blank for what is found before."""
    return tuple(_descriptions(Links.of(question)))


def _descriptions(links: Links) -> Iterator[str]:
    while (description := links.next) is not None:
        yield description
        links = links.put("…")
