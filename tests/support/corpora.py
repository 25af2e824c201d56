"""Corpora in memory, made of texts alone."""

from ingest.chunking import chunk_text
from ingest.texts import Texts
from rlm.corpus.corpus import Corpus, CorpusDocument, estimated_tokens
from rlm.corpus.handles import Handle
from tests.fakes.memory_blobs import MemoryBlobs


def corpus_of(*documents: str, blobs: MemoryBlobs | None = None, markdown: bool = True) -> Corpus:
    """A document for each text, `doc-1`, `doc-2` and so on, chunked as at ingest."""
    texts = Texts(blobs or MemoryBlobs())
    made = []
    for number, text in enumerate(documents, start=1):
        version = f"v{number}"
        texts.save(version, text, title=f"Title {number}", pages=(), chunks=chunk_text(text, markdown=markdown))
        handle = Handle(f"doc-{number}", version, 0, len(text))
        made.append(CorpusDocument(handle, f"Title {number}", f"{number}.md", "default", estimated_tokens(len(text))))
    return Corpus(made, texts)
