from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.documents.rows import ActiveDocument
from ingest.storage.texts.texts import Texts
from rlm.corpus.corpus import READ_AHEAD, Corpus, open_corpus
from rlm.corpus.handles import Handle
from rlm.errors import DocumentGoneError, UnknownHandleError
from rlm.requests import AnswerScope
from tests.fakes.memory_blobs import MemoryBlobs
from tests.support.corpora import corpus_of


@pytest.mark.parametrize(
    "forged",
    [Handle("doc-1", "v9", 0, 3), Handle("doc-2", "v1", 0, 3), Handle("doc-1", "v1", 0, 4)],
    ids=["another version", "another document", "past the end"],
)
def test_a_handle_that_the_corpus_did_not_give_out_is_refused(forged: Handle) -> None:
    corpus = corpus_of("abc", "xyz")
    with pytest.raises(UnknownHandleError):
        corpus.load_text(forged)
    with pytest.raises(UnknownHandleError):
        list(corpus.iter_texts([forged]))


def test_another_tenants_text_in_the_same_blobs_is_out_of_reach() -> None:
    texts = Texts(MemoryBlobs())
    texts.save("theirs", "secret", title=None, chunks=())
    with pytest.raises(UnknownHandleError):
        Corpus([], texts).load_text(Handle("d", "theirs", 0, 6))


def test_what_was_deleted_meanwhile_is_an_error_of_its_own() -> None:
    blobs = MemoryBlobs()
    corpus = corpus_of("abc", blobs=blobs)
    blobs.kept.clear()
    with pytest.raises(DocumentGoneError, match="deleted"):
        corpus.load_text(corpus.documents[0].handle)


@given(st.lists(st.text(alphabet="aé\n€𝄞", min_size=1, max_size=50), min_size=1, max_size=4), st.data())
def test_many_spans_read_together_are_each_their_own_text(documents: list[str], data: st.DataObject) -> None:
    corpus = corpus_of(*documents)
    handles = []
    for _ in range(data.draw(st.integers(0, 6))):
        document = data.draw(st.sampled_from(corpus.documents))
        a, b = data.draw(st.integers(0, 60)), data.draw(st.integers(0, 60))
        handles.append(document.handle[a:b])
    assert list(corpus.iter_texts(handles)) == [corpus.load_text(handle) for handle in handles]


@given(st.text(alphabet="aé\n€𝄞", min_size=1, max_size=80), st.integers(0, 80), st.integers(0, 80), st.integers(0, 9))
def test_a_passage_is_the_text_around_its_span(text: str, a: int, b: int, around: int) -> None:
    corpus = corpus_of(text)
    span = corpus.documents[0].handle[a:b]
    passage = corpus.load_passage(span, context_chars=around)
    assert passage.text == text[passage.start : passage.end]
    assert (passage.start, passage.end) == (max(0, span.start - around), min(len(text), span.end + around))
    assert (passage.document_id, passage.version_id) == (span.document_id, span.version_id)


def test_neighbours_share_a_read() -> None:
    blobs = MemoryBlobs()
    corpus = corpus_of("0123456789" * 10_000, blobs=blobs)
    corpus.load_text_map(corpus.documents[0])
    whole = corpus.documents[0].handle
    blobs.bytes_read = 0
    assert len(list(corpus.iter_texts(whole[at : at + 10] for at in range(0, 100_000, 10)))) == 10_000
    assert blobs.bytes_read == 100_000


def test_sizes_add_up() -> None:
    corpus = corpus_of("a" * 407, "b" * 814)
    assert (corpus.size.documents, corpus.size.characters, corpus.size.tokens) == (2, 1221, 300)
    assert corpus.estimate_tokens(corpus.documents[1].handle[:407]) == 100


class Listing:
    """A catalog of so many documents, in pages of three."""

    def __init__(self, count: int) -> None:
        self.count = count

    def list_active_documents(
        self,
        tenant_id: str,
        *,
        collections: object,
        identifiers: object,
        conditions: object,
        readers: frozenset[str] | None,
        after: int,
    ) -> list[ActiveDocument]:
        rows = (
            ActiveDocument(n, f"d{n}", f"v{n}", "c", f"{n}.md", f"T{n}", 40 * n, None, {})
            for n in range(after + 1, self.count + 1)
        )
        return list(islice(rows, 3))


@pytest.mark.parametrize("count", [0, 3, 7])
def test_a_scope_is_listed_to_its_end(count: int) -> None:
    corpus = open_corpus(Listing(count), Texts(MemoryBlobs()), AnswerScope("ann"))
    assert [document.name for document in corpus.documents] == [f"{n}.md" for n in range(1, count + 1)]


def test_tokens_that_were_not_counted_are_estimated() -> None:
    corpus = open_corpus(Listing(2), Texts(MemoryBlobs()), AnswerScope("ann"))
    assert [document.tokens for document in corpus.documents] == [10, 20]


def test_only_what_was_yielded_is_recorded_as_used() -> None:
    corpus = corpus_of(*("abc" for _ in range(3 * READ_AHEAD)))
    texts = corpus.iter_texts(each.handle for each in corpus.documents)
    assert list(islice(texts, 2)) == ["abc", "abc"]
    assert corpus.used.work.versions == {"v1", "v2"}
    assert list(texts) == ["abc"] * (3 * READ_AHEAD - 2)
