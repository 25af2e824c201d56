import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.corpus.corpus import outline, samples
from tests.support.books import book
from tests.support.corpora import corpus_of


def test_an_outline_names_each_section_with_its_span() -> None:
    corpus = corpus_of(book(1, chapters=3, sentences=30))
    sections = outline(corpus, corpus.documents[0].handle)
    assert [section.heading_path for section in sections] == [("Book 1", f"Chapter {n}") for n in (1, 2, 3)]
    assert all(f"Chapter {n}" in corpus.text(section.handle) for n, section in enumerate(sections, start=1))
    assert sum(section.tokens for section in sections) == pytest.approx(corpus.size.tokens, rel=0.01)


@given(st.integers(0, 9), st.integers(1, 6), st.integers(1, 40))
def test_samples_are_short_and_from_as_many_documents_as_wanted(documents: int, count: int, characters: int) -> None:
    corpus = corpus_of(*(f"document {n} " * 3 for n in range(documents)))
    found = samples(corpus, count=count, characters=characters)
    assert all(0 < len(corpus.text(sample)) <= characters for sample in found)
    assert len({sample.document_id for sample in found}) == min(documents, count)
