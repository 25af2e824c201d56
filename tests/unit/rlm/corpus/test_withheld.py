"""Documents that are closed while a question is being answered."""

import pytest

from ingest.chunking import chunk_text
from ingest.storage.texts.layout import Layout
from ingest.storage.texts.texts import Texts
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.handles import Handle
from rlm.corpus.withheld import RECHECK_SECONDS, WithheldDocuments
from rlm.errors import UnknownHandleError
from rlm.requests import AnswerScope
from tests.fakes.memory_blobs import MemoryBlobs

TEXT = "The harbour ledger lists ships."
EVE = AnswerScope("ann", readers=frozenset({"user:eve"}))


class Access:
    """A catalog that a test closes documents in."""

    def __init__(self) -> None:
        self.closed: set[str] = set()
        self.version = self.asked = 0

    def close(self, document: str) -> None:
        self.closed.add(document)
        self.version += 1

    def load_corpus_version(self, tenant_id: str) -> int:
        return self.version

    def list_hidden_documents(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        self.asked += 1
        return set(self.closed)


def test_nothing_of_a_document_is_read_once_it_is_closed() -> None:
    access, now = Access(), [0.0]
    texts = Texts(MemoryBlobs())
    texts.save("v", TEXT, title="Ledger", chunks=chunk_text(TEXT, Layout()))
    handle = Handle("d", "v", 0, len(TEXT))
    document = CorpusDocument(handle, "Ledger", "ledger.md", "default", 8)
    corpus = Corpus([document], texts, "ann", withheld_source=WithheldDocuments(access, EVE, clock=lambda: now[0]))
    assert corpus.load_text(handle) == TEXT
    access.close("other")
    corpus.refresh_hidden_documents()
    assert corpus.load_text(handle) == TEXT
    access.close("d")
    corpus.refresh_hidden_documents()
    for read in (
        lambda: corpus.load_text(handle),
        lambda: list(corpus.iter_texts([handle])),
        lambda: corpus.load_text_map(document),
        lambda: corpus.load_rows(document, 0, [1]),
        lambda: corpus.restrict_to_documents([handle]).load_text(handle),
    ):
        with pytest.raises(UnknownHandleError):
            read()


def test_long_work_looks_now_and_then_and_asks_again_only_after_a_change() -> None:
    access, now = Access(), [0.0]
    withheld = WithheldDocuments(access, EVE, clock=lambda: now[0])
    assert list(withheld()) == []
    access.close("d")
    assert list(withheld()) == []
    now[0] += RECHECK_SECONDS
    assert set(withheld()) == {"d"}
    now[0] += RECHECK_SECONDS
    withheld()
    assert access.asked == 2
