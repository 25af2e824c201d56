"""Records the text read by a model, the text searched by code, and the records without a judgement.

Code may load a whole book and show ten lines of it to a model. Text returned to code therefore counts as searched. It
counts as read only if it was printed in the visible part of a cell's output, or was in a prompt to a sub-model.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

from ingest.storage.remarks import Remark
from rlm.answers import Coverage, SearchedDocument, SearchSummary
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle, merge_spans
from rlm.operators.judged import JudgementSource

# Maximum total length of the stored texts that were returned to code, in characters.
_KEPT_CHARS = 8_000_000
# Length of the samples that are used to find a text, distance between samples, and maximum number of texts to compare.
# A shared passage is extended beyond its sample. If several texts contain the same sample, only the latest of these
# texts are compared.
_SAMPLE_CHARS, _STEP_CHARS, _ALIKE = 32, 128, 8
# Maximum number and minimum length of stored texts that are shorter than a sample. Such a text is searched for as a
# whole. Even shorter texts are not stored, because they would be found everywhere.
_KEPT_SHORT, _SHORTEST_CHARS = 2_000, 8


class ReadLog:
    """The spans of a corpus that a run has used, grouped by how it used them."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._read: dict[str, list[Handle]] = {}
        self._searched: dict[str, list[Handle]] = {}
        self._inferred: dict[str, list[Handle]] = {}
        self._given: list[Handle] = []
        self._texts = ReturnedTexts()
        self._unjudged: dict[tuple[str, Handle], str] = {}
        self._unanswered: dict[str, str] = {}
        self._remarks: dict[Hashable, str] = {}

    def record_returned_text(self, handle: Handle, text: str) -> None:
        """Record a text that was returned to code. It counts as searched until it is shown to a model."""
        self.record_searched_spans([handle])
        self._given.append(handle)
        self._texts.add_text(handle, text)

    def record_searched_spans(self, spans: Iterable[Handle]) -> None:
        _add_spans(self._searched, spans)

    def record_shown_text(self, text: str) -> None:
        """Record a text that was shown to a model. All text in it that was returned to code counts as read."""
        _add_spans(self._read, self._texts.iter_spans_in(text))

    def record_read_spans(self, spans: Iterable[Handle]) -> None:
        _add_spans(self._read, spans)

    def record_judgements(
        self, operator: str, judgements: Iterable[tuple[Handle, JudgementSource]], refusal_codes: Iterable[str] = ()
    ) -> None:
        """Record an operator's judgements of records. `refusal_codes` contains the reason codes of missing judgements.

        Records that the same operator judges later no longer count as missing.
        """
        why = ", ".join(code.replace("_", " ") for code in refusal_codes) or "no result"
        for handle, by in judgements:
            if by is JudgementSource.NOBODY:
                self._unjudged[operator, handle] = why
                continue
            self._unjudged.pop((operator, handle), None)
            self.record_searched_spans([handle])
            _add_spans(self._read if by is JudgementSource.MODEL else self._inferred, [handle])

    def list_returned_spans_in(self, prompt: str) -> list[Handle]:
        """Return the spans that were returned to code and whose text occurs in a prompt.

        The spans are in document order and do not overlap.
        """
        found: dict[str, list[Handle]] = {}
        _add_spans(found, self._texts.iter_spans_in(prompt))
        return [span for spans in found.values() for span in merge_spans(spans)]

    def record_prompt(self, prompt: str, spans: Iterable[Handle], failure: str = "") -> None:
        """Record the spans in a prompt sent by the run's code, and the failure if there was no reply.

        A prompt that is answered later no longer counts as unanswered.
        """
        key = sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
        self._unanswered.pop(key, None)
        if failure:
            self._unanswered[key] = failure
        else:
            self.record_read_spans(spans)

    def add_remark(self, subject: Hashable, remark: str | None) -> None:
        """Record a remark for readers of the answer. It replaces any earlier remark on the same subject."""
        self._remarks.pop(subject, None)
        if remark:
            self._remarks[subject] = remark

    def merge_sub_run(self, sub_run_log: "ReadLog") -> None:
        for mine, its in (
            (self._read, sub_run_log._read),
            (self._searched, sub_run_log._searched),
            (self._inferred, sub_run_log._inferred),
        ):
            for spans in its.values():
                _add_spans(mine, spans)
        self._given += sub_run_log._given
        self._unjudged |= sub_run_log._unjudged
        self._unanswered |= sub_run_log._unanswered
        self._remarks |= sub_run_log._remarks

    @property
    def has_searched_text(self) -> bool:
        """True if the run's code has searched any text or had any text judged."""
        return bool(self._searched)

    @property
    def searched_document_count(self) -> int:
        """The number of documents of which the run's code searched any part, or had any part judged."""
        return len(self._searched)

    def list_returned_spans(self, count: int) -> Sequence[Handle]:
        """Return the spans most recently returned to code, latest first."""
        return list(dict.fromkeys(reversed(self._given)))[:count]

    def iter_opened_spans(self) -> Iterator[Handle]:
        """Yield all spans that were read or searched, with adjacent spans merged."""
        for version in {**self._read, **self._searched}:
            yield from merge_spans([*self._read.get(version, ()), *self._searched.get(version, ())])

    def compute_coverage(self) -> Coverage:
        """Return the number of tokens that were read, that were only searched, and that were not opened.

        A document with unjudged records counts as failed.
        """
        size = self._corpus.size
        failed = {handle.version_id for _, handle in self._unjudged}
        inferred = self._inferred.keys() - self._read.keys()
        tokens_read = min(size.tokens, self._estimate_tokens(self._read))
        tokens_known = min(size.tokens, self._estimate_tokens(self._read, self._searched))
        return Coverage(
            tokens_in_scope=size.tokens,
            tokens_read=tokens_read,
            tokens_searched=max(0, tokens_known - tokens_read),
            units=size.documents,
            units_read=len(self._read.keys() - failed),
            units_searched=len(self._searched.keys() - self._read.keys() - inferred - failed),
            units_inferred=len(inferred - failed),
            units_failed=len(failed),
        )

    def build_search_summary(self) -> SearchSummary:
        """Return the documents that the run opened, with the numbers of spans opened and read in each document."""
        held = {version: len(merge_spans(spans)) for version, spans in self._searched.items()}
        read = {version: len(merge_spans(spans)) for version, spans in self._read.items()}
        by_version = {each.handle.version_id: each for each in self._corpus.documents}
        documents = tuple(
            SearchedDocument(
                by_version[version].handle.document_id,
                by_version[version].title,
                max(held.get(version, 0), read.get(version, 0)),
                read.get(version, 0),
            )
            for version in {**read, **held}
        )
        return SearchSummary(sum(each.passages for each in documents), sum(each.read for each in documents), documents)

    @property
    def failures(self) -> tuple[str, ...]:
        """Up to two sentences, about records that were not judged and about sub-calls without a reply."""
        said: list[str] = []
        if self._unjudged:
            records = len({handle for _, handle in self._unjudged})
            why = ", ".join(dict.fromkeys(self._unjudged.values()))
            said.append(Remark("records_not_judged", n=records, problem=why))
        if self._unanswered:
            prompts = len(self._unanswered)
            why = ", ".join(dict.fromkeys(self._unanswered.values()))
            said.append(Remark("calls_not_answered", n=prompts, problem=why))
        return tuple(said)

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._remarks.values()))

    def _estimate_tokens(self, *spans: Mapping[str, Sequence[Handle]]) -> int:
        versions = dict.fromkeys(version for each in spans for version in each)
        parts = (merge_spans([span for each in spans for span in each.get(version, ())]) for version in versions)
        return sum(self._corpus.estimate_tokens(span) for spans_of_one in parts for span in spans_of_one)


class ReturnedTexts:
    """The texts most recently returned to code, stored so that they can be found in text shown to models."""

    def __init__(self) -> None:
        self._short = OrderedDict[str, Handle]()
        self._samples: dict[str, list[tuple[int, int]]] = {}
        self._texts = OrderedDict[int, tuple[Handle, str]]()
        self._characters = self._count = 0

    def add_text(self, handle: Handle, text: str) -> None:
        """Store a text so that it can be found later, and evict the oldest texts if there are too many."""
        flat = _flatten_text(text)
        if len(flat) < _SAMPLE_CHARS:
            if len(flat) >= _SHORTEST_CHARS:
                self._short.pop(flat, None)
                self._short[flat] = handle
            if len(self._short) > _KEPT_SHORT:
                self._short.popitem(last=False)
            return
        self._count += 1
        self._texts[self._count] = handle, flat
        self._characters += len(flat)
        for at in _iter_sample_positions(flat):
            alike = self._samples.setdefault(flat[at : at + _SAMPLE_CHARS], [])
            alike.append((self._count, at))
            del alike[:-_ALIKE]
        while self._characters > _KEPT_CHARS and len(self._texts) > 1:
            self._evict_oldest_text()

    def iter_spans_in(self, shown_text: str) -> Iterator[Handle]:
        """Yield the spans whose text occurs in `shown_text`, either verbatim or as formatted by Python's `repr`."""
        flat = _flatten_text(shown_text.replace("\\n", " ").replace("\\'", "'").replace('\\"', '"'))
        yield from (handle for text, handle in self._short.items() if text in flat)
        at = reached = 0
        while at + _SAMPLE_CHARS <= len(flat) and self._samples:
            places = self._samples.get(flat[at : at + _SAMPLE_CHARS])
            if not places:
                at += 1
                continue
            start, length, handle = max(
                (self._find_shared_span(flat, reached, at, *place) for place in places), key=lambda each: each[1]
            )
            yield handle
            at = reached = start + length

    def _find_shared_span(
        self, flat_text: str, search_start: int, position: int, text_number: int, sample_position: int
    ) -> tuple[int, int, Handle]:
        """Return the passage that `flat_text` shares with a stored text around a sample: its start, length and span."""
        handle, text = self._texts[text_number]
        before = _count_shared_before(
            flat_text[max(search_start, position - _STEP_CHARS) : position],
            text[max(0, sample_position - _STEP_CHARS) : sample_position],
        )
        after = _count_shared_after(flat_text, position, text, sample_position)
        return position - before, before + after, handle[sample_position - before : sample_position + after]

    def _evict_oldest_text(self) -> None:
        number, (_, text) = self._texts.popitem(last=False)
        self._characters -= len(text)
        for at in _iter_sample_positions(text):
            sample = text[at : at + _SAMPLE_CHARS]
            left = [each for each in self._samples.pop(sample, ()) if each[0] != number]
            if left:
                self._samples[sample] = left


def _flatten_text(text: str) -> str:
    """Return the text as compared: with spaces for line ends and tabs, and the same length."""
    return text.replace("\n", " ").replace("\t", " ")


def _iter_sample_positions(text: str) -> Iterator[int]:
    """Yield the positions of evenly spaced samples, and of a last sample that ends with the text."""
    last = len(text) - _SAMPLE_CHARS
    yield from range(0, last, _STEP_CHARS)
    yield last


def _count_shared_after(first_text: str, first_position: int, second_text: str, second_position: int) -> int:
    most = min(len(first_text) - first_position, len(second_text) - second_position)
    return next((n for n in range(most) if first_text[first_position + n] != second_text[second_position + n]), most)


def _count_shared_before(first_text: str, second_text: str) -> int:
    """Return the length of the longest common suffix of two texts."""
    return _count_shared_after(first_text[::-1], 0, second_text[::-1], 0)


def _add_spans(spans: dict[str, list[Handle]], new_spans: Iterable[Handle]) -> None:
    for handle in new_spans:
        spans.setdefault(handle.version_id, []).append(handle)
