"""Handles as the plain values that code in a sandbox holds, and which spans it has opened."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import ceil
from typing import Any

from rlm.answers import Coverage
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.handles import Handle
from rlm.operators.judged import NOTHING_CUT, JudgedBy, judged_by_beginning
from rlm.sandbox.port import ToolError

PlainHandle = dict[str, Any]


def plain(handle: Handle) -> PlainHandle:
    return {"document": handle.document_id, "version": handle.version_id, "start": handle.start, "end": handle.end}


def parse_handle(value: object, corpus: Corpus) -> Handle:
    """Any dict with a handle's keys is one: hits, records and results too. A document's id stands for all of it.

    Raises `ToolError`, and `UnknownHandleError` for what is not in scope.
    """
    if isinstance(value, str):
        called = corpus.called(value)
        if called is not None:
            return called.handle
        raise ToolError(f"no document is called {value[:100]!r}; outline() lists them")
    if not isinstance(value, Mapping) or "document" not in value:
        raise ToolError("a handle is a dict with document, version, start and end, as search, grep and records return")
    start, end = value.get("start", 0), value.get("end")
    document = corpus.with_id(str(value["document"]))
    if document is None:
        raise ToolError(f"no document in scope has the id {str(value['document'])[:100]!r}")
    whole = document.handle
    end = whole.end if end is None else end
    if not _is_position(start) or not _is_position(end):
        raise ToolError("start and end of a handle are whole numbers")
    start, end = min(start, whole.end), min(end, whole.end)
    handle = Handle(whole.document_id, str(value.get("version", whole.version_id)), start, max(start, end))
    corpus.document(handle)
    return handle


def parse_handles(values: object, corpus: Corpus) -> list[Handle]:
    if not isinstance(values, list | tuple):
        raise ToolError("records is a list of handles, as records() returns")
    return [parse_handle(value, corpus) for value in values]


def _is_position(value: object) -> bool:
    return type(value) is int and value >= 0


@dataclass(frozen=True)
class Remark:
    """What is true of a value besides: in a few words without a number, and in full."""

    short: str
    full: str


class OpenedSpans:
    """What a run has had before it, so that coverage can be told and quotations be found.

    A document is scanned when a program went through all of its text without showing it, as a search for a pattern
    does. A record is missed while an operator has tried to judge it, and none of that kind has managed.
    """

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._spans: dict[str, list[Handle]] = {}
        self._inferred: dict[str, list[Handle]] = {}
        self._latest: list[Handle] = []
        self._read: list[Handle] = []
        self._scanned: dict[str, CorpusDocument] = {}
        self._missed: dict[tuple[str, Handle], str] = {}
        self._unanswered: dict[str, str] = {}
        self._cut: set[Handle] = set()
        self._remarks: dict[Hashable, Remark] = {}

    def add(self, handles: Iterable[Handle]) -> None:
        """Notes what the run's code was given."""
        for handle in handles:
            self._open(handle)
            self._read.append(handle)

    def _open(self, handle: Handle) -> None:
        self._spans.setdefault(handle.version_id, []).append(handle)
        self._latest.append(handle)

    def scan(self, documents: Iterable[CorpusDocument]) -> None:
        self._scanned.update((each.handle.version_id, each) for each in documents)

    def judge(
        self,
        operator: str,
        judgements: Iterable[tuple[Handle, JudgedBy]],
        refused: Iterable[str] = (),
        cut: Mapping[int, float] = NOTHING_CUT,
    ) -> None:
        """Notes what an operator made of records; `refused` are the codes of why it left some out, and `cut[i]` the
        share of the judgement's record that was shown, where that was not all."""
        why = ", ".join(code.replace("_", " ") for code in refused) or "no result"
        for place, (handle, by) in enumerate(judgements):
            if by is JudgedBy.NOBODY:
                self._missed[operator, handle] = why
                continue
            self._missed.pop((operator, handle), None)
            if by is not JudgedBy.MODEL:
                self._inferred.setdefault(handle.version_id, []).append(handle)
            elif place in cut:
                self._cut.add(handle)
                self._open(handle[: ceil(len(handle) * cut[place])])
            else:
                self._open(handle)

    def ask(self, replies: Iterable[tuple[str, str]]) -> None:
        """Notes prompts of the run's code, each with why it has no reply, or nothing where it has one.

        One that is answered later is missed no more.
        """
        for prompt, why in replies:
            key = sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
            self._unanswered.pop(key, None)
            if why:
                self._unanswered[key] = why

    def remark(self, about: Hashable, remark: Remark | None) -> None:
        """Notes what whoever reads a value that was computed from this has to know; the last about a thing counts."""
        self._remarks.pop(about, None)
        if remark is not None:
            self._remarks[about] = remark

    @property
    def remarks(self) -> tuple[Remark, ...]:
        return tuple(dict.fromkeys(self._remarks.values()))

    def adopt(self, other: "OpenedSpans", latest: int) -> None:
        """What a part of the run has had before it; of the spans, so many of the latest."""
        read = set(other._read)
        for handle in other.latest(latest):
            self._open(handle)
            if handle in read:
                self._read.append(handle)
        self.scan(other._scanned.values())
        self._missed.update(other._missed)
        self._unanswered.update(other._unanswered)
        self._cut |= other._cut
        self._remarks.update(other._remarks)
        for version, spans in other._inferred.items():
            self._inferred.setdefault(version, []).extend(spans)

    def documents(self) -> list[CorpusDocument]:
        """Those of which something was opened, the latest first, then those that were scanned."""
        opened = dict.fromkeys(each.version_id for each in reversed(self._latest))
        held = [self._corpus.document(self._spans[version][0]) for version in opened]
        return [*held, *(each for version, each in self._scanned.items() if version not in opened)]

    def latest(self, count: int) -> Sequence[Handle]:
        """The spans opened last, the last of them first."""
        return list(dict.fromkeys(reversed(self._latest)))[:count]

    def merged(self) -> Iterator[Handle]:
        """All spans, those that touch as one, those of the document that was opened last first."""
        for version in dict.fromkeys(each.version_id for each in reversed(self._latest)):
            yield from _merged(self._spans[version])

    def latest_read(self, count: int) -> Sequence[Handle]:
        """Of those that the run's code was given, and did not only have judged, the last first."""
        return list(dict.fromkeys(reversed(self._read)))[:count]

    def coverage(self) -> Coverage:
        """By tokens; each counts once. Documents are the slices, read when any of them was opened.

        One with records that were missed has failed, whatever else of it was opened.
        """
        size, missed = self._corpus.size, {handle for _, handle in self._missed}
        failed = {each.version_id for each in missed}
        read = min(sum(map(self._tokens_read, self._spans)), size.tokens)
        known = sum(map(self._tokens_known, self._spans.keys() | self._inferred.keys()))
        return Coverage(
            tokens_in_scope=size.tokens,
            tokens_read=read,
            slices=size.documents,
            slices_read=len(self._spans.keys() - failed),
            slices_inferred=len(self._inferred.keys() - self._spans.keys() - failed),
            tokens_inferred=max(0, min(known, size.tokens) - read),
            slices_failed=len(failed),
            tokens_failed=sum(map(self._corpus.tokens, missed)),
            unit="document",
        )

    @property
    def missing(self) -> str:
        """What a value that was computed from all of this lacks, in words; nothing where it lacks nothing."""
        if self._missed:
            records = len({handle for _, handle in self._missed})
            said = "1 record was" if records == 1 else f"{records:,} records were"
            return f"{said} not judged: {', '.join(dict.fromkeys(self._missed.values()))}"
        if self._unanswered:
            prompts = len(self._unanswered)
            said = "1 sub-call has" if prompts == 1 else f"{prompts:,} sub-calls have"
            return f"{said} no reply: {', '.join(dict.fromkeys(self._unanswered.values()))}"
        if cut := self._cut_short():
            return judged_by_beginning(cut)
        return "computed from a part of the documents" if self.not_gone_through() else ""

    @property
    def judged_all(self) -> bool:
        """Whether operators and sub-models answered all that they were asked, having seen all of it."""
        return not self._missed and not self._unanswered and not self._cut_short()

    def _cut_short(self) -> int:
        """Records that were judged by their beginning, and of which the rest was not opened either."""
        merged = {version: _merged(self._spans[version]) for version in {each.version_id for each in self._cut}}
        return sum(any(self._gaps(handle, merged[handle.version_id])) for handle in self._cut)

    def _gaps(self, handle: Handle, merged: Sequence[Handle]) -> Iterator[bool]:
        """Whether there is text in each part of a span that is in no other."""
        at = handle.start
        for start, end in (*((each.start, each.end) for each in merged if each.end > at), (handle.end, handle.end)):
            gap = Handle(handle.document_id, handle.version_id, at, max(at, min(start, handle.end)))
            if len(gap):
                yield bool(self._corpus.text(gap).strip())
            at = max(at, end)
            if at >= handle.end:
                return

    def not_gone_through(self) -> list[CorpusDocument]:
        """Documents with text that no program has gone through, and that was neither opened nor inferred."""
        return [each for each in self._corpus.documents if not self._is_gone_through(each)]

    def _is_gone_through(self, document: CorpusDocument) -> bool:
        version = document.handle.version_id
        if version in self._scanned or not document.tokens:
            return True
        known = _merged([*self._spans.get(version, ()), *self._inferred.get(version, ())])
        return bool(known) and not any(self._gaps(document.handle, known))

    def _tokens_read(self, version_id: str) -> int:
        return self._tokens(self._spans.get(version_id, ()))

    def _tokens_known(self, version_id: str) -> int:
        """With what a classifier judged."""
        return self._tokens([*self._spans.get(version_id, ()), *self._inferred.get(version_id, ())])

    def _tokens(self, spans: Sequence[Handle]) -> int:
        return sum(self._corpus.tokens(each) for each in _merged(spans))


def _merged(spans: Sequence[Handle]) -> list[Handle]:
    merged: list[Handle] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if merged and span.start <= merged[-1].end:
            last = merged[-1]
            merged[-1] = Handle(last.document_id, last.version_id, last.start, max(last.end, span.end))
        else:
            merged.append(span)
    return merged
