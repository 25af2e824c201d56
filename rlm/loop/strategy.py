"""The recursive strategy: a root model explores the corpus by writing programs, and submits an answer."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import pairwise

from ingest.storage.remarks import Remark
from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Draft, OfferedQuote
from rlm.checking.markers import list_sentence_spans
from rlm.corpus.corpus import Corpus
from rlm.events import Cell, Delta, Drafted, Event, Working
from rlm.loop.environment import Environment
from rlm.loop.evidence import EvidenceEntry
from rlm.loop.loop import RecursiveRun
from rlm.loop.submit import Submission
from rlm.loop.titles import PROGRAM_STEPS
from rlm.strategy import Context


class RecursiveStrategy:
    """Answers a question by running the loop in an environment created for the request."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    def stream(self, context: Context) -> Iterator[Event]:
        """Yield each cell when it ends, and finally the draft.

        Raises `SandboxUnavailableError` and `RunCancelledError`. If there is no draft, errors of the model's server are
        also raised.
        """
        run = RecursiveRun(self._environment, context.question)
        for turn in run.iter_turns():
            yield Cell(turn)
            yield Working(PROGRAM_STEPS, turn.number, self._environment.max_cells)
        run.confirm_computation()
        draft = _build_draft(run, self._environment.corpus, partial(context.phrase, context.question))
        yield Delta(draft.text)
        yield Drafted(draft)


def _build_draft(run: RecursiveRun, corpus: Corpus, phrase: Callable[[Remark], str]) -> Draft:
    """Build the draft from the submitted answer, the best draft, or a sentence that explains why neither exists."""
    found, finished, log = run.answer, run.submissions.final is not None, run.log
    coverage, notes = log.compute_coverage(), list[Remark]()
    reasons = [run.reason] if run.reason and not finished else []
    if found is None:
        found = Submission(Remark("answer_not_found", why=run.reason), found=False)
    elif not finished and found.part:
        notes.append(Remark("run_partly_answered", part=found.part.strip()))
    elif not finished:
        notes.append(Remark("run_draft"))
    if isinstance(found.text, Remark):
        found = replace(found, text=phrase(found.text).strip())
    reasons += [*log.failures, *log.remarks, *found.remarks]
    if found.computed:
        how = Remark("computed_how", how=found.how.rstrip(".")) if found.how else ""
        reasons.append(Remark("computed_by_code", searched=log.searched_document_count, n=coverage.units, how=how))
    status = AnswerStatus.ANSWERED if found.found else AnswerStatus.NOT_FOUND
    named = {number: each for number, each in enumerate(found.cited, start=1) if f"[{number}]" in found.text}
    return Draft(
        status=AnswerStatus.PARTIAL if not finished or (found.computed and log.failures) else status,
        text=found.text,
        evidence=build_separate_passages(named, corpus),
        searched=log.build_search_summary(),
        quotes=tuple(OfferedQuote(number, each.quote) for number, each in named.items() if each.quote),
        computed=found.computed,
        stated=found.stated,
        finished=finished,
        reasons=(*reasons, coverage.to_sentence()),
        notes=tuple(notes),
        coverage=coverage,
        result=found.result,
    )


def build_separate_passages(entries: Mapping[int, EvidenceEntry], corpus: Corpus) -> dict[int, Passage]:
    """Return the passages of evidence, keyed by number. Overlapping passages of one document are cut.

    Each passage keeps its span and the text up to the end of the next sentence. The remaining text belongs to the next
    passage.
    """
    order = sorted(entries, key=lambda number: (entries[number].span.version_id, entries[number].span.start))
    starts = {number: each.passage.start for number, each in entries.items()}
    ends = {number: each.passage.end for number, each in entries.items()}
    for first, second in pairwise(order):
        one, other = entries[first].span, entries[second].span
        if one.version_id == other.version_id and ends[first] > starts[second]:
            between = corpus.get_document(one).handle[one.end : max(one.end, other.start)]
            sentences = list_sentence_spans(corpus.load_text(between))
            cut = one.end + sentences[0][1] if sentences else other.start
            ends[first] = max(one.end, min(ends[first], cut))
            starts[second] = min(other.start, max(starts[second], cut))
    return {number: _cut_passage(each, starts[number], ends[number], corpus) for number, each in entries.items()}


def _cut_passage(entry: EvidenceEntry, start: int, end: int, corpus: Corpus) -> Passage:
    passage = entry.passage
    if (start, end) == (passage.start, passage.end):
        return passage
    found = corpus.load_passage(corpus.get_document(entry.span).handle[start:end])
    return replace(passage, text=found.text, start=start, end=end, table_header=found.table_header)
