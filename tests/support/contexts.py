"""Contexts of strategies over a few documents in memory, with a search by shared words."""

from collections.abc import Mapping, Sequence
from itertools import count

from ingest.chunking import chunk_text
from ingest.layout import Layout, markdown_layout
from ingest.texts import Texts
from retrieval.passages import Passage
from rlm.checking.checker import stems
from rlm.corpus.corpus import Corpus, CorpusDocument, estimated_tokens
from rlm.corpus.handles import Handle
from rlm.llm.port import SubCalls
from rlm.llm.profiles import ModelProfile
from rlm.passages import whole
from rlm.requests import ANYHOW, AnswerScope, Wanted
from rlm.strategy import Context
from tests.fakes.memory_blobs import MemoryBlobs

CAPABLE = ModelProfile("capable", 32_000, 4_000, reading_tokens=8_000)


def corpus_of(documents: Mapping[str, str], *, markdown: bool = True) -> Corpus:
    """A corpus of texts by title."""
    texts = Texts(MemoryBlobs())
    found: list[CorpusDocument] = []
    for number, (title, text) in enumerate(documents.items(), 1):
        handle = Handle(f"d{number}", f"v{number}", 0, len(text))
        texts.save(
            handle.version_id,
            text,
            title=title,
            chunks=chunk_text(text, markdown_layout(text) if markdown else Layout()),
        )
        found.append(CorpusDocument(handle, title, f"{title}.md", "default", estimated_tokens(len(text))))
    return Corpus(found, texts, "ann")


def context_over(
    corpus: Corpus,
    calls: SubCalls,
    question: str,
    *,
    profile: ModelProfile = CAPABLE,
    queries: Sequence[str] = (),
    wanted: Wanted = ANYHOW,
) -> Context:
    """A context whose search ranks all passages of the corpus by the words that they share with the queries."""
    nonces = count(1)

    def search(query: str, top_k: int) -> Sequence[Passage]:
        words = stems(query)
        passages = sorted(whole(corpus), key=lambda each: -len(words & stems(each.text)))
        return [each for each in passages if words & stems(each.text)][:top_k]

    return Context(
        question=question,
        queries=tuple(queries),
        scope=AnswerScope("ann"),
        wanted=wanted,
        profile=profile,
        calls=calls,
        search=search,
        corpus=lambda: corpus,
        nonce=lambda: f"nonce{next(nonces)}",
    )
