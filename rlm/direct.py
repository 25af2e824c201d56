"""The direct strategy: reads passages and writes the answer. The model may first request another search.

An easy question is answered in one call. The reply is streamed: first the text with passage markers, then a block with
the model's quotations, which is hidden from readers.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Draft, OfferedQuote, summarize_search
from rlm.checking.checker import correct_evidence, parse_offered_quotes
from rlm.checking.markers import MarkedText, remove_markers
from rlm.corpus.corpus import CorpusDocument
from rlm.corpus.names import list_nearest
from rlm.errors import LanguageModelOutputError
from rlm.events import Delta, Drafted, Event, Reading, Retrieved
from rlm.llm.port import SubCall, SubFailure, SubReply, rebuild_error, request_reply
from rlm.llm.structured_output import build_closed_object
from rlm.passages import PassageReader, can_fit_corpus, interleave_rankings
from rlm.strategy import Context
from rlm.untrusted import DATA_ONLY, format_passage, format_question, sanitize_text, to_one_line

# Maximum number of searches. Combining three facts takes three rounds of searching and reading, and each round costs a
# call and reads more text.
MAX_SEARCHES = 3
_MAX_QUERIES = 4
# Maximum number of documents named as shown, and of those named although nothing of them is shown.
_NAMED, _NEAREST = 40, 8
# Maximum number of hits per search; usually fewer fit in the reading budget.
_TOP_K, _SMALL_TOP_K = 60, 5
# Maximum number of tokens in an answer, including its block of quotations, for large and small models. The first value
# is about three thousand words; a small model writes only a sentence or two.
_ANSWER_TOKENS, _SMALL_TOKENS = 6_000, 200
_SEARCH = "<search>"
_QUERIES = re.compile(r"<search>(.*?)(?:</search>|\Z)", re.DOTALL | re.IGNORECASE)
_ANSWERED = re.compile(r"<support[^>]*\banswered\s*=\s*[\"']?(yes|partly|no)\b", re.IGNORECASE)
_STATUS = {"yes": AnswerStatus.ANSWERED, "partly": AnswerStatus.PARTIAL, "no": AnswerStatus.NOT_FOUND}
NOTHING_FOUND = "No passages were found: no document is searchable yet, or none is related to the question."

SYSTEM = f"""You answer questions from passages of the user's documents. Your reader has not seen the documents, \
relies on what you write, and can look up every passage that you cite.

How to write the answer
- Begin with the answer itself. Write complete sentences, in the language of the question, as long as the question \
needs and no longer. Use Markdown lists, headings or tables only where they help.
- Say only what the passages say or what clearly follows from them. Read carefully who speaks, about whom, and when.
- End each sentence that states something from the documents with the number of its passage in square brackets, like \
this: The lease ends in 2031 [4]. Where a sentence needs two passages, name both: [2][7]. The same applies to list \
items and cells of a table, and to a first sentence that summarizes the answer; one that only introduces what \
follows needs no number.
- The numbers in brackets and the block below are part of every answer, even if the question asks for one sentence or \
for no sources: a program decides how sources are shown.
- Show what a calculated figure comes from, with the numbers of its passages. If there are two usual ways to calculate \
it, say which one you use, and give the other result if it differs.
- If the question asks for a judgement, give one, with the facts and figures on which it rests and what speaks against \
it. If it can be read in two ways, say how you read it, and answer the other reading too if the passages allow it.
- If it does not say whom or what it is about, and the passages are about several, say for which of them each \
statement holds. If it names a period that a document names otherwise, say which period of the document you use.
- If passages contradict each other, say so and cite both; but a statement that a later one replaces is no \
contradiction: say what finally holds, and since when. If they contradict what the question takes for granted, say \
that first.
- If they answer only a part, answer that part and say what is missing. If they do not say, tell the reader so in your \
own words, with the numbers of one or two passages where it would be expected, and with the closest thing that they \
do say. Below the passages is a list of the documents that are shown whole: only for these can you say what they \
leave out. The list ends with the nearest documents of which nothing is shown. If none of the listed documents is \
about the person, organization, thing or time that the question names, say that no such document is here, name the \
nearest ones, and do not answer from another one in its place. A name is not a source: cite no passage for it.

After the answer, write a block that the reader does not see:
<support answered="yes">
[4] "the words of passage 4 that say it, copied exactly"
</support>
Set answered to "yes", to "partly" if an important part is missing, or to "no" if the documents do not say. Give a \
line for each statement that you cited, in the order of the answer: the number of the passage, and up to 40 words of \
it copied exactly, including any quotation marks among them.

{DATA_ONLY}"""

_MAY_SEARCH = """These passages were found by searching for: {made}
If they lack the answer, or an important part of it, that other parts of the documents may have, do not answer yet. \
Reply with nothing but one to four searches, one per line, in other words than before; name the document if you know it:
<search>
words to look for
words to look for something else
</search>
You then get the new passages, and can search {left}. A fact that leads to the next one may need a search of its \
own. If the passages are sufficient, or another search will hardly help, write the answer."""
_NO_MORE_SEARCHES = "No more searches are possible. Answer from the passages above."
_SEARCHES_LEFT = ("no more after that", "once more after that")

# Small models omit markers in free text. If the reply is JSON, they name a passage, and they answer better after
# quoting that passage.
SMALL_SYSTEM = f"""Answer the question from the numbered passages. Reply in JSON: "passage" is the number of the \
passage that answers it, "quote" the sentence copied from it, and "answer" one complete sentence that answers the \
question. If no passage answers it, give passage 0 with an empty quote and an empty answer.

{DATA_ONLY}"""
_SMALL_SCHEMA = build_closed_object(
    {"passage": {"type": "integer"}, "quote": {"type": "string"}, "answer": {"type": "string"}}
)
NO_ANSWER_FOUND = "The passages that were read do not answer the question."
_NO_PASSAGE_NAMED = "The model did not cite any passage for this answer."


class DirectStrategy:
    """Answers from passages that fit the model's reading budget."""

    def stream(self, context: Context) -> Iterator[Event]:
        """Stream the answer's events; see `Strategy.stream`.

        Raises the same errors as the search and the model, and `LanguageModelOutputError` for a reply without text.
        """
        yield from _AnswerRounds(context).iter_events()


class _AnswerRounds:
    """The rounds that produce one answer.

    In each round, the model reads passages, and then either writes the answer or searches again.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nonce = context.nonce()
        self._reader = PassageReader(context.corpus(), context.profile.reading_tokens)
        self._queries: list[str] = []
        # The ids of the documents that the searches found, nearest first.
        self._found: dict[str, None] = {}

    def iter_events(self) -> Iterator[Event]:
        context, profile = self._context, self._context.profile
        searches = 0
        if can_fit_corpus(context.corpus(), profile.reading_tokens):
            self._reader.read_corpus()
        else:
            searches = 0 if profile.small else MAX_SEARCHES
            # The first search gets half of the reading budget, so that the other half remains for later searches.
            first = profile.reading_tokens // (2 if searches else 1)
            yield self._search_passages([context.question, *context.queries], first)
        if not self._reader.passages:
            yield Delta(NOTHING_FOUND)
            yield Drafted(Draft(AnswerStatus.NOT_FOUND, NOTHING_FOUND, {}, summarize_search((), (), self._queries)))
            return
        if profile.small:
            yield from self._stream_quoted_answer()
            return
        for left in range(searches, -1, -1):
            passages = tuple(self._reader.passages)
            yield Reading(searches - left + 1, passages)
            reply = _Reply(passages)
            yield from self._stream_reply(reply, search_count=left)
            if reply.text:
                yield Drafted(reply.build_draft(self._queries))
                return
            if not (left and reply.queries):
                break
            # Minimum number of tokens for each later search, even if the first search used more than half of the
            # budget.
            share = profile.reading_tokens // (2 * MAX_SEARCHES)
            # guard: direct-search-share
            yield self._search_passages(reply.queries, max(share, self._reader.remaining_tokens // left))
        raise LanguageModelOutputError(
            "The language model returned an empty answer.", hint="Ask again, or rephrase the question."
        )

    def _stream_quoted_answer(self) -> Iterator[Event]:
        """Yield a small model's answer, with the supporting passage and the words that the model quoted from it."""
        passages, context = tuple(self._reader.passages), self._context
        yield Reading(1, passages)
        call = SubCall(SMALL_SYSTEM, self._render_prompt(), _SMALL_TOKENS, _SMALL_SCHEMA, "answer")
        reply = json.loads(request_reply(context.calls, call, cancelled=context.cancelled).text)
        number, answer = int(reply["passage"]), to_one_line(remove_markers(reply["answer"]))
        read = summarize_search(passages, passages, self._queries)
        draft = Draft(AnswerStatus.NOT_FOUND, NO_ANSWER_FOUND, {}, read)
        if answer and number:
            draft = replace(draft, status=AnswerStatus.ANSWERED, text=answer, notes=(_NO_PASSAGE_NAMED,))
        if answer and 1 <= number <= len(passages):
            quotes = (OfferedQuote(1, reply["quote"]),) if reply["quote"].strip() else ()
            evidence = correct_evidence({1: passages[number - 1]}, quotes, passages)
            draft = replace(draft, text=f"{answer} [1]", evidence=evidence, quotes=quotes, notes=())
        yield Delta(draft.text)
        yield Drafted(draft)

    def _search_passages(self, queries: Sequence[str], max_tokens: int) -> Retrieved:
        """Run each query and read the hits.

        For a small model, only the hits are read, without the surrounding text.
        """
        self._queries += queries
        small = self._context.profile.small
        rankings = [self._context.search(query, _SMALL_TOP_K if small else _TOP_K) for query in queries]
        self._found |= dict.fromkeys(hit.document_id for hit in interleave_rankings(rankings))
        new = self._reader.read_hits(rankings, max_tokens, with_context=not small)
        return Retrieved(tuple(new), "; ".join(queries))

    def _stream_reply(self, reply: "_Reply", *, search_count: int) -> Iterator[Delta]:
        context = self._context
        for item in context.calls.stream(self._build_call(search_count), cancelled=context.cancelled):
            match item:
                case str():
                    if shown := reply.feed(item):
                        yield Delta(shown)
                case SubReply():
                    reply.cut_off = item.cut_off
                case SubFailure():
                    raise rebuild_error(item)
        if shown := reply.close():
            yield Delta(shown)

    def _build_call(self, search_count: int) -> SubCall:
        profile, nonce = self._context.profile, self._nonce
        lines = [self._render_prompt()]
        if search_count:
            made = "; ".join(sanitize_text(each, nonce) for each in self._queries)
            left = (
                _SEARCHES_LEFT[search_count - 1]
                if search_count <= len(_SEARCHES_LEFT)
                else f"{search_count - 1} times more after that"
            )
            lines += ["", _MAY_SEARCH.format(made=made, left=left)]
        elif self._queries:
            lines += ["", _NO_MORE_SEARCHES]
        return SubCall(SYSTEM, "\n".join(lines), min(profile.max_output_tokens, _ANSWER_TOKENS), purpose="answer")

    def _render_prompt(self) -> str:
        """Render the prompt. The passages come first, so that later rounds can reuse the prefix cache."""
        context, nonce = self._context, self._nonce
        blocks = [
            format_passage(f"passage {number}", each, nonce, name=self._find_file_name(each))
            for number, each in enumerate(self._reader.passages, 1)
        ]
        if context.profile.small:  # Small models mistake the date for a date in a passage, and titles for answers.
            return "\n".join([*blocks, "", format_question(context.question, None, nonce)])
        return "\n".join(
            [*blocks, "", *self._render_scope(), "", format_question(context.question, context.today, nonce)]
        )

    def _render_scope(self) -> Iterator[str]:
        """Yield lines that name the documents of the passages and say how much of each is shown.

        Of the other documents, the nearest are named, so that the model can say that none is about the question.
        """
        extent, corpus = self._reader.extent, self._context.corpus()
        for label, documents in (("Shown whole", extent.whole), ("Shown in part", extent.part)):
            if documents:
                yield f"{label}: {self._format_names(documents)}."
        line = f"Documents in scope that are not shown: {extent.unread:,}."
        shown = {*extent.whole, *extent.part}
        nearest = list_nearest(corpus, self._found, self._context.question, shown=shown, limit=_NEAREST)
        if extent.unread and nearest:
            # guard: nearest-names-recorded
            corpus.record_seen(nearest)
            which = "The nearest" if extent.unread > len(nearest) else "They"
            line = f"{line} {which} are: {self._format_names(nearest)}."
        yield line

    def _format_names(self, documents: Sequence[CorpusDocument]) -> str:
        named = "; ".join(sanitize_text(each.line, self._nonce) for each in documents[:_NAMED])
        more = len(documents) - _NAMED
        return f"{named}{f'; and {more:,} more' if more > 0 else ''}"

    def _find_file_name(self, passage: Passage) -> str:
        """Return the file name for a passage's first line. Small models get none: they mistake names for answers."""
        small = self._context.profile.small
        return "" if small else self._context.corpus().find_file_name(passage.document_id)


class _Reply:
    """One reply while it is streamed: a search request, or the answer's text followed by a block of quotations."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._passages = passages
        self._order: dict[int, int] = {}
        self._marked = MarkedText(self._get_answer_number)
        self._raw = ""
        self._is_search: bool | None = None
        self.text = ""
        self.cut_off = False

    def feed(self, piece: str) -> str:
        """Add a piece of the reply, and return the text to show to the user."""
        self._raw += piece
        if self._is_search is None:
            begun = self._raw.lstrip().lower()
            if not begun or (len(begun) < len(_SEARCH) and _SEARCH.startswith(begun)):
                return ""
            self._is_search = begun.startswith(_SEARCH)
            piece = self._raw.lstrip()
        return "" if self._is_search else self._append_answer_text(self._marked.feed(piece))

    def close(self) -> str:
        """Return the remaining text to show to the user."""
        if self._is_search:
            return ""
        pending = self._marked.feed(self._raw.lstrip()) if self._is_search is None else ""
        return self._append_answer_text(pending + self._marked.close())

    @property
    def queries(self) -> list[str]:
        """The queries of a search request."""
        lines = [line.strip(" -*•\t\"'") for block in _QUERIES.findall(self._raw) for line in block.splitlines()]
        return [line for line in dict.fromkeys(lines) if line][:_MAX_QUERIES]

    def build_draft(self, queries: Sequence[str]) -> Draft:
        """Build the draft. Its status comes from the block in the reply."""
        said = _ANSWERED.search(self._marked.rest)
        status = _STATUS[said[1].lower()] if said else AnswerStatus.ANSWERED
        notes: list[str] = []
        if self.cut_off:
            notes.append("The answer was cut off: the model reached its output limit.")
        if self._marked.strangers:
            notes.append("The model cited passages that it was not given; these markers were removed.")
        elif not self._order and status is not AnswerStatus.NOT_FOUND:
            notes.append(_NO_PASSAGE_NAMED)
        quotes = parse_offered_quotes(self._marked.rest, self._order)
        named = {number: self._passages[original - 1] for original, number in self._order.items()}
        return Draft(
            status=status,
            text=self.text,
            evidence=correct_evidence(named, quotes, self._passages),
            searched=summarize_search(self._passages, self._passages, queries),
            quotes=quotes,
            finished=not self.cut_off,
            notes=tuple(notes),
        )

    def _append_answer_text(self, text: str) -> str:
        self.text += text
        return text

    def _get_answer_number(self, passage_number: int) -> int | None:
        """Return the answer's number for a passage of the prompt, or None if there is no such passage.

        Numbers are assigned in order of first use.
        """
        if not 1 <= passage_number <= len(self._passages):
            return None
        return self._order.setdefault(passage_number, len(self._order) + 1)
