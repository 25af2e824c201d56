"""Asks a judge to compare each sentence of an answer with its cited passages, in one structured call."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

import structlog

from ingest.storage.errors import LeadlineError
from ingest.storage.remarks import Remark, name_problem
from retrieval.search.requests import Passage
from rlm.answers import Check, OfferedQuote, Sentence
from rlm.checking.excerpts import LEFT_OUT, cut_to_quotes, group_rows
from rlm.checking.levels import states_nothing
from rlm.checking.markers import remove_markers
from rlm.checking.quotes import trim_to_words
from rlm.errors import RunCancelledError, not_cancelled
from rlm.llm.port import SubCall, SubCalls, request_reply
from rlm.llm.profiles import ModelProfile, estimate_tokens
from rlm.llm.structured_output import build_closed_object
from rlm.untrusted import DATA_ONLY, format_passage, format_question, sanitize_text, to_one_line

log = structlog.get_logger(__name__)

SUPPORTED, PARTLY, NOT_SUPPORTED = "supported", "partly", "not_supported"
ASSESSMENT, COLLECTION = "assessment", "collection"
# Maximum number of sentences in one call: the verdicts on all of them must fit in the model's output limit.
_MAX_SENTENCES = 80
_CONTEXT = "(context) "
# Matches the header row of a table, which is followed by a rule and does not count as a sentence.
_HEAD = re.compile(r"^[ \t]*(\|.*\w.*)$", re.MULTILINE)
_ITEM = re.compile(r"^(?:[-*+]|\d{1,3}[.)])\s+")
_VERDICT_TOKENS, _SPARE_TOKENS = 60, 200

SYSTEM = f"""You check whether the sentences of an answer are supported by the passages that they cite.

Read each numbered sentence together with the passages whose numbers follow it, the question, and the \
line above each passage, which names its document and headings. Judge as a fair and careful reader would:
- "supported": someone who has read the cited passages would agree that they say this, in whatever words. Names, \
places and times may come from the question, that line, an earlier sentence or another passage of the same \
document; "I" in a passage is its narrator or speaker. A sentence that sums up others may also rely on their passages.
- "assessment": the question asks for a judgement and the sentence gives one, alone or with plain facts, and the facts \
and figures on which it rests are in the cited passages. If one of these is wrong or missing, choose "partly" or \
"not_supported".
- "collection": the sentence is about the documents as a whole, for example how many of them say something or that \
none does, and nothing that you read contradicts it. What was read for the answer is stated below; code checks the rest.
- "partly": the passages support the main point, but not a detail of the sentence.
- "not_supported": the passages do not say it, or say something else.
A sentence marked (about all passages) cites nothing, because it says what the documents lack. It is "collection" if \
no passage shows the opposite, and otherwise "not_supported".
A passage may be cut to the words on which the sentences rest; {LEFT_OUT} then stands for text that is left out. A \
sentence that says what the passages do not mention is supported if they indeed do not mention it, and a figure that \
follows from the passages by plain arithmetic is supported. Judge only what a sentence states about the documents, not \
its style. Lines marked (context) are not judged; they only help you understand the others.
Consecutive rows of a table are judged together: give one verdict under the number of the first row, which counts for \
all of them, and one more for each row that needs a different verdict.
Give a short reason in plain words for "partly" and "not_supported", naming what is missing or different; leave it \
empty for the others.

{DATA_ONLY}"""


@dataclass(frozen=True)
class JudgeVerdict:
    """The judge's verdict on one sentence. `reason` is shown to users."""

    support: str
    reason: str


@dataclass(frozen=True)
class Judgement:
    """Verdicts, keyed by sentence position. `note` tells users why other sentences were not judged."""

    verdicts: Mapping[int, JudgeVerdict]
    note: Remark | None = None


def needs_judging(sentence: Sentence) -> bool:
    """Return whether a sentence needs to be judged: it has a citation and was not computed by code."""
    return bool(sentence.citations) and sentence.check is not Check.COMPUTED


def is_denial(sentence: Sentence) -> bool:
    """Return whether a sentence of an answer that nothing was found states something without citing anything."""
    return not sentence.citations and sentence.check is Check.UNCHECKED and not states_nothing(sentence.text)


def _find_no_name(document_id: str) -> str:
    """Return an empty name: the passages are shown with their titles only."""
    return ""


def _select_passages(
    sentences: Sequence[Sentence],
    evidence: Mapping[int, Passage],
    others: Mapping[int, Passage],
    places: Sequence[int],
) -> dict[int, Passage]:
    """Return the passages that the sentences at `places` cite. One that cites nothing is judged by `others` as well."""
    cited = {number for place in places for number in sentences[place].citations}
    is_about_all = any(not sentences[place].citations for place in places)
    return {number: evidence[number] for number in evidence if number in cited} | (dict(others) if is_about_all else {})


def _is_doubted(
    sentence: Sentence, verdict: JudgeVerdict | None, whole: Mapping[int, Passage], shown: Mapping[int, Passage]
) -> bool:
    """Return whether a sentence has no verdict, or a doubtful one although a passage was `shown` only in part."""
    if verdict is None:
        return True
    is_cut = any(shown[number].text != whole[number].text for number in sentence.citations if number in whole)
    return is_cut and verdict.support in (PARTLY, NOT_SUPPORTED)


class Judge:
    """Asks one model for verdicts. Created for one request."""

    def __init__(
        self,
        calls: SubCalls,
        profile: ModelProfile,
        nonce: str,
        today: date,
        *,
        find_file_name: Callable[[str], str] = _find_no_name,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        """Create the judge. `find_file_name` returns the name of a document's file, given the document's id."""
        self._calls = calls
        self._profile = profile
        self._nonce = nonce
        self._today = today
        self._find_file_name = find_file_name
        self._cancelled = cancelled

    def judge_sentences(
        self,
        question: str,
        text: str,
        sentences: Sequence[Sentence],
        evidence: Mapping[int, Passage],
        *,
        offered: Sequence[OfferedQuote] = (),
        read: str = "",
        shows_whole: bool = False,
        all_read: Sequence[Passage] = (),
    ) -> Judgement:
        """Judge the sentences of `text` that have citations.

        `all_read` are the passages that were read for an answer that says what the documents do not mention. If they
        fit in the prompt, its sentences without citations are judged by all of them.

        `read` says how much of the documents was read for the answer. Passages are cut to the quotations that the model
        `offered`, with their sentences, unless `shows_whole`, for answers that say what the documents do not mention.
        A sentence that is in doubt on passages that were cut, or that has no verdict, is judged once more with whole
        passages, so that a detail outside the quotations is not taken for missing.
        If the judge fails, no error is raised and the result contains a note. Raises `RunCancelledError` if the run was
        cancelled.
        """
        denials = [place for place, each in enumerate(sentences) if all_read and is_denial(each)]
        others = self._select_other_passages(evidence, all_read) if denials else {}
        if others is None:
            denials, others = [], {}
        cited = sorted([*denials, *(place for place, each in enumerate(sentences) if needs_judging(each))])
        select = partial(_select_passages, sentences, evidence, others)
        verdicts: dict[int, JudgeVerdict] = {}
        note: Remark | None = None
        for at in range(0, len(cited), _MAX_SENTENCES):
            places = cited[at : at + _MAX_SENTENCES]
            whole = select(places)
            shown = {
                number: passage if shows_whole else cut_to_quotes(passage, number, sentences, places, offered)
                for number, passage in whole.items()
            }
            ask = partial(self._request_verdicts, question, text, sentences, read=read)
            try:
                verdicts |= ask(places, shown)
            except RunCancelledError:
                raise
            except LeadlineError as error:
                note = Remark("judge_failed", problem=name_problem(error.code, error.detail))
                continue
            doubted = [each for each in places if _is_doubted(sentences[each], verdicts.get(each), whole, shown)]
            verdicts |= self._judge_again(ask, doubted, select(doubted))
        if note is None and len(verdicts) < len(cited):
            note = Remark("verdicts_unclear", unclear=len(cited) - len(verdicts), n=len(cited))
        return Judgement(verdicts, note)

    def _request_verdicts(
        self,
        question: str,
        text: str,
        sentences: Sequence[Sentence],
        places: Sequence[int],
        passages: Mapping[int, Passage],
        *,
        read: str,
    ) -> dict[int, JudgeVerdict]:
        """Request verdicts on the sentences at `places`, by those of the `passages` that they need."""
        blocks = group_rows(text, sentences, places)
        call = self._build_call(question, text, sentences, blocks, passages, read)
        return _parse_verdicts(request_reply(self._calls, call, cancelled=self._cancelled).text, blocks)

    def _judge_again(
        self,
        ask: Callable[[Sequence[int], Mapping[int, Passage]], dict[int, JudgeVerdict]],
        places: Sequence[int],
        passages: Mapping[int, Passage],
    ) -> dict[int, JudgeVerdict]:
        """Return second verdicts on the sentences at `places`, or none if the judge fails: the first ones then stay."""
        try:
            return ask(places, passages) if places else {}
        except RunCancelledError:
            raise
        except LeadlineError as error:
            log.warning("sentences not judged again", error=repr(error))
            return {}

    def _select_other_passages(
        self, evidence: Mapping[int, Passage], all_read: Sequence[Passage]
    ) -> dict[int, Passage] | None:
        """Return the passages that were read and are not cited, keyed by number, or None if they do not all fit."""
        cited = {(each.version_id, each.start, each.end) for each in evidence.values()}
        others = [each for each in all_read if (each.version_id, each.start, each.end) not in cited]
        is_fitting = sum(estimate_tokens(each.text) for each in (*evidence.values(), *others)) <= self._get_room()
        return dict(enumerate(others, start=max(evidence, default=0) + 1)) if is_fitting else None

    def _get_room(self) -> int:
        return self._profile.max_prompt_tokens // 2

    def _build_call(
        self,
        question: str,
        text: str,
        sentences: Sequence[Sentence],
        blocks: Sequence[Sequence[int]],
        evidence: Mapping[int, Passage],
        read: str,
    ) -> SubCall:
        places = [place for block in blocks for place in block]
        numbers = sorted(evidence)
        room = self._get_room()
        whole = sum(estimate_tokens(evidence[number].text) for number in numbers)
        most = None if whole <= room else max(400, 4 * room // max(1, len(numbers)))
        passages = [
            format_passage(
                f"passage {number}",
                _cut_passage_around_quotes(evidence[number], sentences, places, number, most),
                self._nonce,
                name=self._find_file_name(evidence[number].document_id),
            )
            for number in numbers
        ]
        first = max(0, places[0] - 2)
        numbered = _number_places(blocks)
        wanted = ", ".join(_format_block(numbered[block[0]], len(block)) for block in blocks)
        prompt = "\n".join(
            [
                *passages,
                "",
                *([f"Read for the answer: {read}."] if read else []),
                format_question(to_one_line(question), self._today, self._nonce),
                "",
                "Sentences, in the order of the answer:",
                *(
                    sanitize_text(line, self._nonce)
                    for line in _render_sentences(text, sentences, range(first, places[-1] + 1), numbered)
                ),
                "",
                f"Give a verdict on each sentence with a number in front: {wanted}.",
            ]
        )
        tokens = min(self._profile.max_output_tokens, _SPARE_TOKENS + _VERDICT_TOKENS * len(places))
        return SubCall(SYSTEM, prompt, tokens, build_verdict_schema(), "judge")


def build_verdict_schema() -> dict[str, object]:
    """Build the JSON schema of a judge's reply."""
    verdict = build_closed_object(
        {
            "sentence": {"type": "integer"},
            "support": {"type": "string", "enum": [SUPPORTED, ASSESSMENT, COLLECTION, PARTLY, NOT_SUPPORTED]},
            "reason": {"type": "string"},
        }
    )
    return build_closed_object({"verdicts": {"type": "array", "items": verdict}})


def _cut_passage_around_quotes(
    passage: Passage, sentences: Sequence[Sentence], positions: Sequence[int], number: int, max_chars: int | None
) -> Passage:
    """Return the whole passage if it fits, or else only the part around its quotations."""
    if max_chars is None or len(passage.text) <= max_chars:
        return passage
    quoted = [
        quote.start - passage.start
        for place in positions
        for quote in sentences[place].quotes
        if quote.number == number
    ]
    middle = quoted[0] if quoted else 0
    start = max(0, min(middle - max_chars // 2, len(passage.text) - max_chars))
    text = passage.text[start : start + max_chars]
    half = len(text) // 2
    is_cut_after = start + len(text) < len(passage.text)
    first, last = trim_to_words(text, (half, half), is_cut_before=start > 0, is_cut_after=is_cut_after)
    return replace(passage, text=text[first:last], start=passage.start + start + first)


def _number_places(blocks: Sequence[Sequence[int]]) -> dict[int, int]:
    """Return the number of each judged sentence in the prompt, from 1 and without gaps, by its place in the answer."""
    places = [place for block in blocks for place in block]
    return {place: number for number, place in enumerate(places, start=1)}


def _render_sentences(
    text: str, sentences: Sequence[Sentence], position_range: range, numbers: Mapping[int, int]
) -> Iterator[str]:
    """Yield the sentences in `position_range` with their `numbers`, if any. A table's header precedes its rows."""
    end = sentences[position_range.start - 1].end if position_range.start else 0
    for place in position_range:
        sentence = sentences[place]
        for head in _HEAD.findall(text[end : sentence.start]):
            yield f"{_CONTEXT}{to_one_line(head)}"
        yield _render_sentence(sentence, numbers.get(place))
        end = sentence.end


def _render_sentence(sentence: Sentence, number: int | None) -> str:
    said = _ITEM.sub("", to_one_line(remove_markers(sentence.text)))
    if number is None:
        return f"{_CONTEXT}{said}"
    if not sentence.citations:
        return f"{number}. {said} (about all passages)"
    cited = ", ".join(map(str, sentence.citations))
    return f"{number}. {said} (cites {'passage' if len(sentence.citations) == 1 else 'passages'} {cited})"


def _format_block(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first} (for the rows {first} to {first + count - 1})"


def _parse_verdicts(text: str, blocks: Sequence[Sequence[int]]) -> dict[int, JudgeVerdict]:
    """Parse verdicts by position of the sentence. A sentence with contradictory verdicts gets none.

    A row of a table without a verdict of its own has the verdict of the first row of its block.
    """
    places = {number: place for place, number in _number_places(blocks).items()}
    found: dict[int, JudgeVerdict] = {}
    contradicted: set[int] = set()
    for entry in json.loads(text)["verdicts"]:
        place = places.get(entry["sentence"])
        if place is None:
            continue
        if place in found and found[place].support != entry["support"]:
            contradicted.add(place)
        found[place] = JudgeVerdict(entry["support"], to_one_line(entry["reason"])[:500])
    for first, *others in blocks:
        if first in found and first not in contradicted:
            # guard: verdict-of-block
            found = {**dict.fromkeys(others, found[first]), **found}
    return {place: verdict for place, verdict in found.items() if place not in contradicted}
