"""Corpora in memory, made of texts alone."""

from collections.abc import Sequence

from ingest.chunking import chunk_text
from ingest.texts import Texts
from rlm.corpus.corpus import Corpus, CorpusDocument, estimated_tokens
from rlm.corpus.handles import Handle
from tests.fakes.memory_blobs import MemoryBlobs


def corpus_of(
    *documents: str, blobs: MemoryBlobs | None = None, markdown: bool = True, titles: Sequence[str] = ()
) -> Corpus:
    """A document for each text, `doc-1`, `doc-2` and so on, chunked as at ingest; called `Title 1` without `titles`."""
    texts = Texts(blobs or MemoryBlobs())
    made = []
    for number, text in enumerate(documents, start=1):
        version = f"v{number}"
        title = titles[number - 1] if titles else f"Title {number}"
        texts.save(version, text, title=title, pages=(), chunks=chunk_text(text, markdown=markdown))
        handle = Handle(f"doc-{number}", version, 0, len(text))
        made.append(CorpusDocument(handle, title, f"{number}.md", "default", estimated_tokens(len(text))))
    return Corpus(made, texts)
