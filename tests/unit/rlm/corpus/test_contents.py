import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.chunking import chunk_text
from ingest.parsing.writer import DocumentWriter
from ingest.storage.texts.layout import PlaceKind, build_markdown_layout
from ingest.storage.texts.texts import Texts
from rlm.corpus.corpus import Corpus, CorpusDocument, list_sections, select_sample_spans
from rlm.corpus.handles import Handle
from tests.fakes.memory_blobs import MemoryBlobs
from tests.support.books import book
from tests.support.corpora import corpus_of


def test_an_outline_names_each_section_with_its_span() -> None:
    corpus = corpus_of(book(1, chapters=3, sentences=30))
    sections = list_sections(corpus, corpus.documents[0].handle)
    assert [section.heading_path for section in sections] == [("Book 1", f"Chapter {n}") for n in (1, 2, 3)]
    assert all(f"Chapter {n}" in corpus.load_text(section.handle) for n, section in enumerate(sections, start=1))
    assert sum(section.tokens for section in sections) == pytest.approx(corpus.size.tokens, rel=0.01)


def test_an_outline_has_the_whole_text_also_rows_that_no_chunk_has() -> None:
    text = "# Towns\n\nBefore.\n\n" + "\n".join(f"| {number} |" for number in range(50)) + "\n\n# End\n\nAfter."
    layout = build_markdown_layout(text)
    chunks = [each for each in chunk_text(text, layout, max_chars=40) if not 60 < each.start < text.index("# End")]
    texts = Texts(MemoryBlobs())
    texts.save("v", text, title=None, chunks=chunks, layout=layout)
    corpus = Corpus([CorpusDocument(Handle("d", "v", 0, len(text)), "Towns", "a.md", "default", 100)], texts)
    sections = list_sections(corpus, corpus.documents[0].handle)
    assert "".join(corpus.load_text(each.handle) for each in sections) == text
    assert [each.heading_path for each in sections] == [("Towns",), ("End",)]


def test_without_headings_an_outline_has_the_pages_with_their_places() -> None:
    writer = DocumentWriter()
    for words in ("The first slide.", "The second one.", "The last."):
        writer.start_place(PlaceKind.SLIDE)
        writer.write_paragraph(words)
    made = writer.finish("test", empty_message="Nothing.")
    texts = Texts(MemoryBlobs())
    texts.save("v", made.text, title=None, chunks=chunk_text(made.text, made.layout, max_chars=20), layout=made.layout)
    whole = Handle("d", "v", 0, len(made.text))
    corpus = Corpus([CorpusDocument(whole, "Talk", "a.pptx", "default", 100)], texts)
    assert [each.place for each in list_sections(corpus, whole)] == ["slide 1", "slide 2", "slide 3"]
    assert [each.place for each in list_sections(corpus, whole[20:30])] == ["slide 2"]


@given(st.integers(0, 9), st.integers(1, 6), st.integers(1, 40))
def test_samples_are_short_and_from_as_many_documents_as_wanted(documents: int, count: int, characters: int) -> None:
    corpus = corpus_of(*(f"document {n} " * 3 for n in range(documents)))
    found = select_sample_spans(corpus, document_count=count, max_chars=characters)
    assert all(0 < len(corpus.load_text(sample)) <= characters for sample in found)
    assert len({sample.document_id for sample in found}) == min(documents, count)
