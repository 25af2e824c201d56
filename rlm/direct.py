"""The direct strategy: reads passages and writes the answer. The model may first request more of the documents.

The first prompt shows the best passages and lists further ones in a line each. An easy question is answered in one
call. Otherwise the model requests listed passages, the text around a passage, or another search, and names the passages
to keep. The reply is streamed: first the text with passage markers, then a block with the model's quotations, which is
hidden from readers.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.storage.remarks import Remark
from ingest.storage.tables.types import RecordTable
from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Draft, OfferedQuote, summarize_search
from rlm.checking.checker import correct_evidence, parse_offered_quotes
from rlm.checking.markers import MarkedText, remove_markers
from rlm.checking.nearest import extract_nearest_text, extract_stems
from rlm.corpus.corpus import CorpusDocument
from rlm.corpus.names import list_nearest
from rlm.errors import LanguageModelOutputError
from rlm.events import Delta, Drafted, Event, Reading, Retrieved
from rlm.llm.port import SubCall, SubFailure, SubReply, rebuild_error, request_reply
from rlm.llm.structured_output import build_closed_object
from rlm.passages import PassageReader, can_fit_corpus, interleave_rankings
from rlm.strategy import Context
from rlm.tables.lookups import LookupTest
from rlm.untrusted import (
    DATA_ONLY,
    format_passage,
    format_question,
    sanitize_text,
    to_one_line,
)

# Maximum number of requests for more. Combining three facts takes three rounds of reading, and each round costs a call
# and reads more text.
MAX_REQUESTS = 3
_MAX_QUERIES = 4
# Number of tokens that one round of searching reads. A round also lists the next hits, in a line each.
_ROUND_TOKENS, _LISTED = 3_000, 16
_LISTED_CHARS = 160
# Maximum number of documents named as shown, and of those named although nothing of them is shown.
_NAMED, _NEAREST = 40, 8
# Maximum number of hits per search; usually fewer fit in the reading budget.
_TOP_K, _SMALL_TOP_K = 60, 5
# Maximum number of tokens in an answer, including its block of quotations, for large and small models. The first value
# is about three thousand words; a small model writes only a sentence or two.
_ANSWER_TOKENS, _SMALL_TOKENS = 6_000, 200
_REQUEST = "<more"
_REQUESTS = re.compile(r"<more\b([^>]*)>(.*?)(?:</more>|\Z)", re.DOTALL | re.IGNORECASE)
_NUMBERS = re.compile(r"\b(keep|open)\s*=\s*(\"[^\"]*|'[^']*|.*?(?=\b(?:keep|open)\s*=|\Z))", re.IGNORECASE | re.DOTALL)
_RANGE = re.compile(r"(\d{1,6})(?:\s*[-\u2013]\s*(\d{1,6}))?")
_EMPTY_CELLS = re.compile(r"(?:\s*\|)+\s*")
_ANSWERED = re.compile(r"<support[^>]*\banswered\s*=\s*[\"']?(yes|partly|no)\b", re.IGNORECASE)
_STATUS = {"yes": AnswerStatus.ANSWERED, "partly": AnswerStatus.PARTIAL, "no": AnswerStatus.NOT_FOUND}
NOTHING_FOUND = Remark("answer_no_passages")

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
leave out. The list ends with the nearest documents of which nothing is shown. If no document is about the person, \
organization or thing that the question names, say so, name the nearest documents, and do not answer from another one \
in its place. If there are documents about it, but not for the time that the question names, say so, and give what \
they say for the nearest time. A document's name is not a source: cite no passage for it.

After the answer, write a block that the reader does not see:
<support answered="yes">
[4] "the words of passage 4 that say it, copied exactly"
</support>
Set answered to "yes", to "partly" if an important part is missing, or to "no" if the documents do not say. Give a \
line for each statement that you cited, in the order of the answer: the number of the passage, and up to 40 words of \
it copied exactly, including any quotation marks among them. Where several statements rest on the same words, give \
the line once.

{DATA_ONLY}"""

_MAY_REQUEST = """The passages were found by searching for: {made}
If an important part of the answer is missing, and a listed passage, the text around a passage or another search may \
have it, do not answer yet. Reply with nothing but a request for more:
<more keep="2" open="9 14">
words to look for
</more>
keep: the passages above that the answer needs, if any; the others are not shown again. open: listed passages to \
read, and passages above of which you need the text before and after. Between the tags: up to four searches, one per \
line, in other words than before; name the document if you know it. Leave out what you do not need. You can do this \
{left}. A fact that leads to the next one may need a request of its own. If the passages are sufficient, or more will \
hardly help, write the answer."""
_NO_MORE_REQUESTS = "No more can be requested. Answer from the passages above."
_REQUESTS_LEFT = ("only this once", "twice")

# Small models omit markers in free text. If the reply is JSON, they name a passage, and they answer better after
# quoting that passage.
SMALL_SYSTEM = f"""Answer the question from the numbered passages. Reply in JSON: "passage" is the number of the \
passage that answers it, "quote" the sentence copied from it, and "answer" one complete sentence that answers the \
question. If no passage answers it, give passage 0 with an empty quote and an empty answer.

{DATA_ONLY}"""
_SMALL_SCHEMA = build_closed_object(
    {"passage": {"type": "integer"}, "quote": {"type": "string"}, "answer": {"type": "string"}}
)
NO_ANSWER_FOUND = Remark("answer_not_in_passages")


@dataclass(frozen=True)
class DirectStrategy:
    """Answers from passages that fit the model's reading budget.

    `lookups` tests whether the rows that a small model cites are all that a question needs. Without it, such an answer
    is not tested.
    """

    lookups: LookupTest | None = None

    def stream(self, context: Context) -> Iterator[Event]:
        """Stream the answer's events; see `Strategy.stream`.

        Raises the same errors as the search and the model, and `LanguageModelOutputError` for a reply without text.
        """
        yield from _AnswerRounds(context, self.lookups).iter_events()


class _AnswerRounds:
    """The rounds that produce one answer.

    In each round, the model reads passages, and then either writes the answer or requests more.
    """

    def __init__(self, context: Context, lookups: LookupTest | None = None) -> None:
        self._context = context
        self._lookups = lookups
        self._nonce = context.nonce()
        self._reader = PassageReader(context.corpus(), context.profile.reading_tokens)
        self._queries: list[str] = []
        # The ids of the documents that the searches found, nearest first.
        self._found: dict[str, None] = {}

    def iter_events(self) -> Iterator[Event]:
        context, profile = self._context, self._context.profile
        requests = 0
        if can_fit_corpus(context.corpus(), profile.reading_tokens):
            self._reader.read_corpus()
        else:
            requests = 0 if profile.small else MAX_REQUESTS
            # Half of the tokens remain for later rounds.
            first = profile.reading_tokens if profile.small else profile.reading_tokens // 2
            # The router's queries come first: a question's own words more often find passages about something else.
            yield self._search_passages([*context.queries, context.question], first)
        if not self._reader.shown:
            nothing = context.phrase(context.question, NOTHING_FOUND)
            yield Delta(nothing)
            yield Drafted(Draft(AnswerStatus.NOT_FOUND, nothing, {}, summarize_search((), (), self._queries)))
            return
        if profile.small:
            yield from self._stream_quoted_answer()
            return
        for left in range(requests, -1, -1):
            yield Reading(requests - left + 1, tuple(self._reader.shown.values()))
            reply = _Reply(self._reader)
            yield from self._stream_reply(reply, requests_left=left)
            if reply.text:
                yield Drafted(reply.build_draft(self._queries))
                return
            if not (left and reply.is_request):
                break
            yield from self._fulfil_request(reply, left)
        raise LanguageModelOutputError(
            "The language model returned an empty answer.", hint="Ask again, or rephrase the question."
        )

    def _fulfil_request(self, reply: "_Reply", left: int) -> Iterator[Event]:
        """Read what the model requested. `left` is the number of requests including this one."""
        before, opened = self._reader.shown, reply.find_numbers("open") or []
        if (kept := reply.find_numbers("keep")) is not None:
            # A passage is needed to find the text around it.
            self._reader.keep_passages([*kept, *opened])
        self._reader.open_passages(opened, _ROUND_TOKENS)
        if queries := reply.queries:
            # Minimum number of tokens for each later search, even if earlier rounds used most of the budget.
            share = self._context.profile.reading_tokens // (2 * MAX_REQUESTS)
            # guard: direct-search-share
            yield self._search_passages(queries, max(share, self._reader.remaining_tokens // left))
        if not self._reader.shown:  # Nothing new was found.
            self._reader.shown = before
            listed = self._reader.listed.items()
            self._reader.listed = {number: hit for number, hit in listed if number not in before}

    def _stream_quoted_answer(self) -> Iterator[Event]:
        """Yield a small model's answer, with the supporting passage and the words that the model quoted from it.

        A small model answers a count over a table from the first rows that it reads. So if it cites rows of a table,
        and the question needs other rows too, the answer says so instead.
        """
        passages, context = tuple(self._reader.passages), self._context
        yield Reading(1, passages)
        call = SubCall(SMALL_SYSTEM, self._render_prompt(), _SMALL_TOKENS, _SMALL_SCHEMA, "answer")
        reply = json.loads(request_reply(context.calls, call, cancelled=context.cancelled).text)
        number, answer = int(reply["passage"]), to_one_line(remove_markers(reply["answer"]))
        read = summarize_search(passages, passages, self._queries)
        draft = Draft(AnswerStatus.NOT_FOUND, context.phrase(context.question, NO_ANSWER_FOUND), {}, read)
        if answer and number:
            draft = replace(draft, status=AnswerStatus.ANSWERED, text=answer, notes=(Remark("no_passage_named"),))
        if answer and 1 <= number <= len(passages):
            quotes = (OfferedQuote(1, reply["quote"]),) if reply["quote"].strip() else ()
            evidence = correct_evidence({1: passages[number - 1]}, quotes, passages)
            draft = replace(draft, text=f"{answer} [1]", evidence=evidence, quotes=quotes, notes=())
        # guard: small-models-count-nothing
        draft = self._withdraw_computed_answer(draft, passages[0])
        yield Delta(draft.text)
        yield Drafted(draft)

    def _withdraw_computed_answer(self, draft: Draft, best: Passage) -> Draft:
        """Return the draft, or one that says which table the question must be computed from.

        If the draft cites nothing, the rows of the `best` passage are tested.
        """
        cited = draft.evidence.get(1, best)
        quote = draft.quotes[0].text if draft.quotes else ""
        table = self._lookups and self._lookups.find_computed_table(self._context, cited, quote)
        if not table:
            return draft
        return replace(
            draft,
            status=AnswerStatus.PARTIAL,
            text=self._context.phrase(self._context.question, _describe_computed_answer(table)),
            evidence={1: cited},
            notes=(Remark("larger_model_needed"),),
        )

    def _search_passages(self, queries: Sequence[str], max_tokens: int) -> Retrieved:
        """Run each query, read the best hits and list the next ones.

        For a small model, only hits are read, without the surrounding text.
        """
        queries = list(dict.fromkeys(queries))  # The router may repeat the question.
        self._queries += [each for each in queries if each not in self._queries]
        small = self._context.profile.small
        rankings = {query: self._context.search(query, _SMALL_TOP_K if small else _TOP_K) for query in queries}
        self._found |= dict.fromkeys(hit.document_id for hit in interleave_rankings(list(rankings.values())))
        if small:
            return Retrieved(
                tuple(self._reader.read_hits(rankings, max_tokens, with_context=False)), "; ".join(queries)
            )
        max_tokens = min(max_tokens, _ROUND_TOKENS)
        max_listed = _LISTED * max_tokens // _ROUND_TOKENS
        new = self._reader.read_hits(rankings, max_tokens, with_context=True, max_listed=max_listed)
        return Retrieved(tuple(new), "; ".join(queries))

    def _stream_reply(self, reply: "_Reply", *, requests_left: int) -> Iterator[Delta]:
        context = self._context
        for item in context.calls.stream(self._build_call(requests_left), cancelled=context.cancelled):
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

    def _build_call(self, requests_left: int) -> SubCall:
        profile, nonce = self._context.profile, self._nonce
        lines = [self._render_prompt()]
        if requests_left:
            made = "; ".join(sanitize_text(each, nonce) for each in self._queries)
            is_known = requests_left <= len(_REQUESTS_LEFT)
            left = _REQUESTS_LEFT[requests_left - 1] if is_known else f"{requests_left} times"
            lines += ["", _MAY_REQUEST.format(made=made, left=left)]
        elif self._queries:
            lines += ["", _NO_MORE_REQUESTS]
        return SubCall(SYSTEM, "\n".join(lines), min(profile.max_output_tokens, _ANSWER_TOKENS), purpose="answer")

    def _render_prompt(self) -> str:
        """Render the prompt. The passages come first, so that later rounds can reuse the prefix cache."""
        context, nonce = self._context, self._nonce
        blocks = [
            format_passage(f"passage {number}", each, nonce, name=self._find_file_name(each))
            for number, each in self._reader.shown.items()
        ]
        if context.profile.small:  # Small models mistake the date for a date in a passage, and titles for answers.
            return "\n".join([*blocks, "", format_question(context.question, None, nonce)])
        return "\n".join(
            [
                *blocks,
                *self._render_list(),
                "",
                *self._render_scope(),
                "",
                format_question(context.question, context.today, nonce),
            ]
        )

    def _render_list(self) -> Iterator[str]:
        """Yield the passages that are listed, by document, with the part of each that is nearest to the searches."""
        nonce, corpus = self._nonce, self._context.corpus()
        by_document: dict[CorpusDocument, list[int]] = defaultdict(list)
        for number, hit in self._reader.listed.items():
            document = corpus.find_document_by_id(hit.document_id)
            if document is not None and corpus.is_visible(document):
                by_document[document].append(number)
        if not by_document:
            return
        stems = extract_stems(" ".join(self._queries))
        yield f"BEGIN list {nonce}"
        yield "Also found, but not shown:"
        for document, numbers in by_document.items():
            yield sanitize_text(document.line, nonce)
            for number in numbers:
                passage = self._reader.listed[number]
                where = to_one_line(", ".join([passage.place, *passage.heading_path[-1:]]).strip(", "), _LISTED_CHARS)
                said = _EMPTY_CELLS.sub(" | ", to_one_line(extract_nearest_text(passage, stems, _LISTED_CHARS)))
                yield sanitize_text(f"[{number}] {': '.join(filter(None, (where, said)))}", nonce)
        yield f"END list {nonce}"

    def _render_scope(self) -> Iterator[str]:
        """Yield lines that name the documents that are shown whole, and say how many others there are.

        Of the documents that are neither shown nor listed, the nearest are named, so that the model can say that none
        is about the question.
        """
        extent, corpus = self._reader.extent, self._context.corpus()
        yield f"BEGIN documents {self._nonce}"
        if extent.whole:
            yield f"Shown whole: {self._format_names(extent.whole)}."
        shown, hits = {*extent.whole, *extent.part}, self._reader.listed.values()
        listed = {found for hit in hits if (found := corpus.find_document_by_id(hit.document_id))} - shown
        unnamed = extent.unread - len(listed)
        line = f"Documents in scope that are neither shown nor listed: {unnamed:,}."
        limit = _NAMED if self._context.may_be_absent else _NEAREST
        nearest = list_nearest(corpus, self._found, self._context.question, shown=shown | listed, limit=limit)
        if unnamed and nearest:
            # guard: nearest-names-recorded
            corpus.record_seen(nearest)
            which = "The nearest" if unnamed > len(nearest) else "They"
            line = f"{line} {which} are: {self._format_names(nearest)}."
        yield line
        yield f"END documents {self._nonce}"

    def _format_names(self, documents: Sequence[CorpusDocument]) -> str:
        named = "; ".join(sanitize_text(each.line, self._nonce) for each in documents[:_NAMED])
        more = len(documents) - _NAMED
        return f"{named}{f'; and {more:,} more' if more > 0 else ''}"

    def _find_file_name(self, passage: Passage) -> str:
        """Return the file name for a passage's first line. Small models get none: they mistake names for answers."""
        small = self._context.profile.small
        return "" if small else self._context.corpus().find_file_name(passage.document_id)


def _describe_computed_answer(table: RecordTable) -> Remark:
    return Remark("answer_needs_table", rows=table.rows, table=to_one_line(remove_markers(table.name)))


class _Reply:
    """One reply while it is streamed: a request, or the answer's text followed by a block of quotations."""

    def __init__(self, reader: PassageReader) -> None:
        self._shown = dict(reader.shown)
        self._read = tuple(reader.passages)
        self._order: dict[int, int] = {}
        self._marked = MarkedText(self._get_answer_number)
        self._raw = ""
        self._is_request: bool | None = None
        self.text = ""
        self.cut_off = False

    def feed(self, piece: str) -> str:
        """Add a piece of the reply, and return the text to show to the user."""
        self._raw += piece
        if self._is_request is None:
            begun = self._raw.lstrip().lower()
            if not begun or (len(begun) < len(_REQUEST) and _REQUEST.startswith(begun)):
                return ""
            self._is_request = begun.startswith(_REQUEST)
            piece = self._raw.lstrip()
        return "" if self._is_request else self._append_answer_text(self._marked.feed(piece))

    def close(self) -> str:
        """Return the remaining text to show to the user."""
        if self._is_request:
            return ""
        pending = self._marked.feed(self._raw.lstrip()) if self._is_request is None else ""
        return self._append_answer_text(pending + self._marked.close())

    @property
    def is_request(self) -> bool:
        """True if the reply requests anything."""
        return bool(self.queries or self.find_numbers("open"))

    @property
    def queries(self) -> list[str]:
        """The queries of a request."""
        lines = [line.strip(" -*•\t\"'") for _, block in _REQUESTS.findall(self._raw) for line in block.splitlines()]
        return [line for line in dict.fromkeys(lines) if line][:_MAX_QUERIES]

    def find_numbers(self, attribute: str) -> list[int] | None:
        """Return the numbers in an attribute of a request, "keep" or "open", or None if it has no such attribute."""
        found = [pair for attributes, _ in _REQUESTS.findall(self._raw) for pair in _NUMBERS.findall(attributes)]
        values = [numbers for name, numbers in found if name.lower() == attribute]
        if not values or re.search(r"\ball\b", " ".join(values), re.IGNORECASE):
            return None  # for "keep", all passages
        pairs = ((int(first), int(last or first)) for first, last in _RANGE.findall(" ".join(values)))
        return [each for first, last in pairs for each in range(first, min(last, first + _LISTED + _TOP_K) + 1)]

    def build_draft(self, queries: Sequence[str]) -> Draft:
        """Build the draft. Its status comes from the block in the reply."""
        said = _ANSWERED.search(self._marked.rest)
        status = _STATUS[said[1].lower()] if said else AnswerStatus.ANSWERED
        notes: list[Remark] = []
        if self.cut_off:
            notes.append(Remark("answer_cut_off"))
        if self._marked.strangers:
            notes.append(Remark("passages_unknown"))
        elif not self._order and status is not AnswerStatus.NOT_FOUND:
            notes.append(Remark("no_passage_named"))
        quotes = parse_offered_quotes(self._marked.rest, self._order)
        named = {number: self._shown[original] for original, number in self._order.items()}
        return Draft(
            status=status,
            text=self.text,
            evidence=correct_evidence(named, quotes, self._shown.values()),
            searched=summarize_search(self._read, self._read, queries),
            quotes=quotes,
            finished=not self.cut_off,
            notes=tuple(notes),
            read=tuple(self._shown.values()) if status is AnswerStatus.NOT_FOUND else (),
        )

    def _append_answer_text(self, text: str) -> str:
        self.text += text
        return text

    def _get_answer_number(self, passage_number: int) -> int | None:
        """Return the answer's number for a passage of the prompt, or None if there is no such passage.

        Numbers are assigned in order of first use.
        """
        if passage_number not in self._shown:
            return None
        return self._order.setdefault(passage_number, len(self._order) + 1)
