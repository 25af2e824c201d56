"""The read log of a run: what of the documents a model read, what code searched, and what was not judged.

Code may be given a whole book and show ten lines of it to a model. So what tools return to code counts as searched, and
as read only where it was printed within a cell's shown output, or stood in the prompt of a sub-model.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256

from rlm.answers import Coverage, Searched, SearchedDocument
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.loop.given_texts import GivenTexts
from rlm.operators.judged import JudgedBy


class ReadLog:
    """Spans of a corpus by what became of them in a run."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._read: dict[str, list[Handle]] = {}
        self._searched: dict[str, list[Handle]] = {}
        self._inferred: dict[str, list[Handle]] = {}
        self._given: list[Handle] = []
        self._texts = GivenTexts()
        self._unjudged: dict[tuple[str, Handle], str] = {}
        self._unanswered: dict[str, str] = {}
        self._remarks: dict[Hashable, str] = {}

    def give(self, handle: Handle, text: str) -> None:
        """Note a text that code was given: it was searched, and may be shown to a model."""
        self.search([handle])
        self._given.append(handle)
        self._texts.keep(handle, text)

    def search(self, spans: Iterable[Handle]) -> None:
        """Note spans that code went through."""
        _add(self._searched, spans)

    def show(self, text: str) -> None:
        """Note what a model was shown: whatever of the given texts stands in it was read."""
        _add(self._read, self._texts.found_in(text))

    def read(self, spans: Iterable[Handle]) -> None:
        """Note spans that a model read."""
        _add(self._read, spans)

    def judge(self, operator: str, judgements: Iterable[tuple[Handle, JudgedBy]], refused: Iterable[str] = ()) -> None:
        """Note what an operator made of records; `refused` are the codes of why it left some out.

        A record that the same operator judges later is missed no more.
        """
        why = ", ".join(code.replace("_", " ") for code in refused) or "no result"
        for handle, by in judgements:
            if by is JudgedBy.NOBODY:
                self._unjudged[operator, handle] = why
                continue
            self._unjudged.pop((operator, handle), None)
            self.search([handle])
            _add(self._read if by is JudgedBy.MODEL else self._inferred, [handle])

    def ask(self, prompt: str, failure: str = "") -> None:
        """Note a prompt of the run's code, with why it has no reply; one that is answered later is missed no more."""
        key = sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
        self._unanswered.pop(key, None)
        if failure:
            self._unanswered[key] = failure
        else:
            self.show(prompt)

    def remark(self, about: Hashable, remark: str) -> None:
        """Note what whoever reads the answer has to know; of remarks about one thing, the last counts."""
        self._remarks.pop(about, None)
        if remark:
            self._remarks[about] = remark

    def adopt(self, part: "ReadLog") -> None:
        """Take in what a part of the run did."""
        for mine, its in (
            (self._read, part._read),
            (self._searched, part._searched),
            (self._inferred, part._inferred),
        ):
            for spans in its.values():
                _add(mine, spans)
        self._given += part._given
        self._unjudged |= part._unjudged
        self._unanswered |= part._unanswered
        self._remarks |= part._remarks

    @property
    def worked(self) -> bool:
        """True once code has gone through some text, or had some judged."""
        return bool(self._searched)

    @property
    def documents_searched(self) -> int:
        """How many documents code went through, as a whole or in part, or had judged."""
        return len(self._searched)

    def given(self, count: int) -> Sequence[Handle]:
        """The spans whose text code was given last, the last of them first."""
        return list(dict.fromkeys(reversed(self._given)))[:count]

    def opened(self) -> Iterator[Handle]:
        """All spans that were read or searched, those that touch as one."""
        for version in {**self._read, **self._searched}:
            yield from _merged([*self._read.get(version, ()), *self._searched.get(version, ())])

    def coverage(self) -> Coverage:
        """The three numbers; each token counts once. A document with records that were not judged has failed."""
        size = self._corpus.size
        failed = {handle.version_id for _, handle in self._unjudged}
        inferred = self._inferred.keys() - self._read.keys()
        tokens_read = min(size.tokens, self._tokens(self._read))
        tokens_known = min(size.tokens, self._tokens(self._read, self._searched))
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

    def sought(self) -> Searched:
        """The documents in which the run looked, and how many spans of each were opened and read."""
        held = {version: len(_merged(spans)) for version, spans in self._searched.items()}
        read = {version: len(_merged(spans)) for version, spans in self._read.items()}
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
        return Searched(sum(each.passages for each in documents), sum(each.read for each in documents), documents)

    @property
    def failures(self) -> tuple[str, ...]:
        """What operators and sub-models were asked in vain, a sentence each."""
        said: list[str] = []
        if self._unjudged:
            records = len({handle for _, handle in self._unjudged})
            why = ", ".join(dict.fromkeys(self._unjudged.values()))
            said.append(f"{records:,} {'record was' if records == 1 else 'records were'} not judged: {why}.")
        if self._unanswered:
            prompts = len(self._unanswered)
            why = ", ".join(dict.fromkeys(self._unanswered.values()))
            said.append(f"{prompts:,} {'sub-call has' if prompts == 1 else 'sub-calls have'} no reply: {why}.")
        return tuple(said)

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._remarks.values()))

    def _tokens(self, *spans: Mapping[str, Sequence[Handle]]) -> int:
        versions = dict.fromkeys(version for each in spans for version in each)
        merged = (_merged([span for each in spans for span in each.get(version, ())]) for version in versions)
        return sum(self._corpus.tokens(span) for spans_of_one in merged for span in spans_of_one)


def _add(spans: dict[str, list[Handle]], more: Iterable[Handle]) -> None:
    for handle in more:
        spans.setdefault(handle.version_id, []).append(handle)


def _merged(spans: Sequence[Handle]) -> list[Handle]:
    """The spans in order, those that touch as one."""
    merged: list[Handle] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if merged and span.start <= merged[-1].end:
            last = merged[-1]
            merged[-1] = Handle(last.document_id, last.version_id, last.start, max(last.end, span.end))
        else:
            merged.append(span)
    return merged
