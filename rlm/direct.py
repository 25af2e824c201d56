"""The direct strategy: read passages, write the answer; the model may first ask for a search with other words.

One call answers an easy question. The reply is streamed: its text has the markers of passages, and behind the text
stands a block that no reader sees, with the words that the model quotes.
"""

import re
from collections.abc import Iterator, Sequence

from retrieval.passages import Passage
from rlm.answers import AnswerStatus, Draft, searched
from rlm.checking.locating import offered_quotes
from rlm.checking.markers import MarkedText
from rlm.errors import LanguageModelOutputError
from rlm.events import Delta, Drafted, Event, Reading, Retrieved
from rlm.llm.port import SubCall, SubFailure, SubReply, raised
from rlm.llm.profiles import ModelProfile
from rlm.passages import PassageNumbers, fits, in_reading_order, whole, within
from rlm.strategy import Context
from rlm.untrusted import DATA_ONLY, delimited, plain

# A chain of three facts takes three; each round costs a call and reads more.
MAX_SEARCHES = 3
_MAX_QUERIES = 4
# Passages of one search; what a reading budget holds is mostly less.
_TOP_K = 60
_SEARCH = "<search>"
_QUERIES = re.compile(r"<search>(.*?)(?:</search>|\Z)", re.DOTALL | re.IGNORECASE)
_ANSWERED = re.compile(r"<support[^>]*\banswered\s*=\s*[\"']?(yes|partly|no)\b", re.IGNORECASE)
_STATUS = {"yes": AnswerStatus.ANSWERED, "partly": AnswerStatus.PARTIAL, "no": AnswerStatus.NOT_FOUND}
NOTHING_FOUND = "The search found nothing in these documents that could be read for an answer."

SYSTEM = f"""You answer questions from passages of the user's documents. Your reader has not seen the documents, relies \
on what you write, and can look up every passage that you cite.

How to write the answer
- Begin with the answer itself. Write complete sentences, in the language of the question, as long as the question \
needs and no longer. Use Markdown lists, headings or tables only where they help.
- Say only what the passages say or what follows from them plainly. Read carefully who speaks, of whom, and when.
- End each sentence that states something from the documents with the number of its passage in square brackets, like \
this: The lease ends in 2031 [4]. Where a sentence needs two passages, name both: [2][7].
- If passages contradict each other, say so and cite both. If they answer only a part, answer that part and say what is \
missing.
- If the passages do not say, tell the reader so in your own words, with what they do say that comes closest.

Behind the answer, write a block that the reader does not see:
<support answered="yes">
[4] "the words of passage 4 that say it, copied exactly"
</support>
Set answered to "yes", "partly", or "no" if the documents do not say. Give a line for each passage that you cited, with \
at most 25 words copied from it letter by letter.

{DATA_ONLY}"""

_MAY_SEARCH = """If the answer is not in these passages but other parts of the documents may have it, do not answer yet. \
Reply with nothing but searches, one to four lines of words that the documents may use:
<search>
words to look for
</search>
You then get more passages. A fact that leads to the next one may need a search of its own."""
_NO_MORE_SEARCHES = "No more searches can be made. Answer from the passages above."

SMALL_SYSTEM = f"""Answer the question from the passages. Write one or two complete sentences, and put the number of the \
passage behind each, like this: The lease ends in 2031 [4]. If the passages do not answer the question, write only: \
The passages do not say.

{DATA_ONLY}"""


class DirectStrategy:
    """Answers from passages that fit the model's reading budget."""

    def stream(self, context: Context) -> Iterator[Event]:
        """As `Strategy.stream`. Raises what searching and the model raise, and `LanguageModelOutputError` for a reply
        that has no text."""
        budget = context.profile.reading_tokens
        corpus = context.corpus()
        numbers, nonce = PassageNumbers([]), context.nonce()
        queries = [context.question, *context.queries]
        if reads_all := fits(corpus, budget):
            numbers.add(whole(corpus))
        else:
            first = self._found(context, queries, within_tokens=_first_share(context.profile))
            numbers.add(first)
            yield Retrieved(tuple(first), context.question)
        if not numbers.passages:
            yield from _nothing_found(queries)
            return
        searches = 0 if reads_all or context.profile.small else MAX_SEARCHES
        for call in range(1, searches + 2):
            yield Reading(call, tuple(numbers.passages))
            reply = _Reply(len(numbers.passages))
            may_search = call <= searches
            for item in context.calls.stream(
                _call(context, numbers.passages, nonce, may_search=may_search), cancelled=context.cancelled
            ):
                match item:
                    case str():
                        if shown := reply.feed(item):
                            yield Delta(shown)
                    case SubReply():
                        reply.cut_off = item.cut_off
                    case SubFailure():
                        raise raised(item)
            if shown := reply.close():
                yield Delta(shown)
            if reply.text.strip():
                yield Drafted(reply.draft(numbers.passages, queries))
                return
            more = reply.queries
            if not (may_search and more):
                break
            queries += more
            left = budget - sum(estimate(each) for each in numbers.passages)
            found = self._found(context, more, within_tokens=max(left // (searches + 1 - call), budget // 8))
            new = numbers.add(found)
            yield Retrieved(tuple(new), "; ".join(more))
        raise LanguageModelOutputError("The language model gave no answer.", hint="Ask again, or in other words.")

    def _found(self, context: Context, queries: Sequence[str], *, within_tokens: int) -> list[Passage]:
        top_k = _SMALL_TOP_K if context.profile.small else _TOP_K
        found = context.search(queries[0], top_k, queries[1:])
        return in_reading_order(within(found, within_tokens))


_SMALL_TOP_K = 5


def estimate(passage: Passage) -> int:
    """About how many tokens a passage has."""
    return len(passage.text) // 4 + 40


def _first_share(profile: ModelProfile) -> int:
    """Tokens of the first search's passages: half of what may be read, so that later searches have room."""
    return profile.reading_tokens if profile.small else profile.reading_tokens // 2


def _call(context: Context, passages: Sequence[Passage], nonce: str, *, may_search: bool) -> SubCall:
    """Passages first: a later round's prompt begins as the one before, which prefix caches know."""
    blocks = [delimited(f"passage {number}", each, nonce) for number, each in enumerate(passages, 1)]
    question = f"Question: {plain(context.question, nonce)}"
    profile = context.profile
    if profile.small:
        return SubCall(SMALL_SYSTEM, "\n".join([*blocks, "", question]), _SMALL_TOKENS, purpose="answer")
    ending = _MAY_SEARCH if may_search else _NO_MORE_SEARCHES
    prompt = "\n".join([*blocks, "", question, "", ending])
    return SubCall(SYSTEM, prompt, min(profile.max_output_tokens, _ANSWER_TOKENS), purpose="answer")


# Of an answer with its block: some three thousand words.
_ANSWER_TOKENS = 6_000
_SMALL_TOKENS = 200


class _Reply:
    """One reply as it streams in: a search, or the text of the answer and the block behind it."""

    def __init__(self, passages: int) -> None:
        self._passages = passages
        self._order: dict[int, int] = {}
        self._marked = MarkedText(self._number)
        self._raw = ""
        self._is_search: bool | None = None
        self.text = ""
        self.cut_off = False

    def feed(self, piece: str) -> str:
        """The next piece to show."""
        self._raw += piece
        if self._is_search is None:
            begun = self._raw.lstrip().lower()
            if not begun or (len(begun) < len(_SEARCH) and _SEARCH.startswith(begun)):
                return ""
            self._is_search = begun.startswith(_SEARCH)
            piece = self._raw.lstrip()
        return "" if self._is_search else self._shown(self._marked.feed(piece))

    def close(self) -> str:
        if self._is_search:
            return ""
        pending = self._marked.feed(self._raw.lstrip()) if self._is_search is None else ""
        return self._shown(pending + self._marked.close())

    @property
    def queries(self) -> list[str]:
        """Words to search for, where the reply is a search."""
        lines = [line.strip(" -*•\t\"'") for block in _QUERIES.findall(self._raw) for line in block.splitlines()]
        return [line for line in dict.fromkeys(lines) if line][:_MAX_QUERIES]

    def draft(self, passages: Sequence[Passage], queries: Sequence[str]) -> Draft:
        """The reply as a draft; its status is what the model says in its block."""
        said = _ANSWERED.search(self._marked.rest)
        read = list(passages)
        notes: list[str] = []
        if self.cut_off:
            notes.append("The answer was cut off: the model's limit of output was reached.")
        if self._marked.strangers:
            notes.append("The model cited passages that it was not given; those markers were left out.")
        return Draft(
            status=_STATUS[said[1].lower()] if said else AnswerStatus.ANSWERED,
            text=self.text,
            evidence={number: read[original - 1] for original, number in self._order.items()},
            searched=searched(read, read, queries),
            quotes=tuple(offered_quotes(self._marked.rest, list(self._order.items()))),
            finished=not self.cut_off,
            notes=tuple(notes),
        )

    def _shown(self, text: str) -> str:
        if not self.text:
            text = text.lstrip()
        self.text += text
        return text

    def _number(self, passage: int) -> int | None:
        if not 1 <= passage <= self._passages:
            return None
        return self._order.setdefault(passage, len(self._order) + 1)


def _nothing_found(queries: Sequence[str]) -> Iterator[Event]:
    yield Delta(NOTHING_FOUND)
    yield Drafted(Draft(AnswerStatus.NOT_FOUND, NOTHING_FOUND, {}, searched((), (), queries)))
