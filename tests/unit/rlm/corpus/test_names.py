"""The documents that are named although nothing of them is shown."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.texts.texts import Texts
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.corpus.handles import Handle
from rlm.corpus.names import list_nearest, list_own_subjects
from tests.fakes.memory_blobs import MemoryBlobs

WORDS = ["ledger", "minutes", "Merle", "Aurora", "2021", "2022", "Q3"]


def document(number: int, name: str, title: str = "Minutes") -> CorpusDocument:
    return CorpusDocument(Handle(f"d{number}", f"v{number}", 0, 10), title, name, "default", 3)


def corpus_over(documents: list[CorpusDocument], closed: frozenset[str] = frozenset()) -> Corpus:
    return Corpus(documents, Texts(MemoryBlobs()), "ann", withheld_source=lambda *, at_once=False: closed)


def test_found_documents_come_first_and_then_those_whose_names_share_rare_words() -> None:
    names = ["Merle_2021.pdf", "Merle_2022.pdf", "Aurora_2021.pdf", "Aurora_2022Q3.pdf", "index.pdf", "notes.pdf"]
    corpus = corpus_over([document(n, name) for n, name in enumerate(names)])
    nearest = list_nearest(corpus, ["d4", "d4", "gone"], "Minutes of the aurora, Q3?", shown=(), limit=3)
    assert [each.name for each in nearest] == ["index.pdf", "Aurora_2022Q3.pdf", "Aurora_2021.pdf"]


def test_a_document_that_is_shown_is_not_named_and_few_are_all_named() -> None:
    documents = [document(n, f"{n}.pdf") for n in range(4)]
    nearest = list_nearest(corpus_over(documents), ["d2"], "Who?", shown=documents[:1], limit=3)
    assert [each.name for each in nearest] == ["2.pdf", "1.pdf", "3.pdf"]
    assert list_nearest(corpus_over(documents), [], "Who?", shown=(), limit=3) == []


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=3).map("_".join), max_size=12),
    st.sets(st.integers(0, 11)),
    st.lists(st.integers(0, 11), max_size=5),
    st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join),
)
def test_a_closed_document_changes_nothing_of_what_is_named(
    names: list[str], closed: set[int], found: list[int], question: str
) -> None:
    documents = [document(number, name) for number, name in enumerate(names)]
    ids = frozenset(f"d{number}" for number in closed)
    open_ones = [each for each in documents if each.handle.document_id not in ids]
    searched = [f"d{number}" for number in found]
    seen = [each for each in searched if each not in ids]
    nearest = list_nearest(corpus_over(documents, ids), searched, question, shown=(), limit=3)
    assert nearest == list_nearest(corpus_over(open_ones), seen, question, shown=(), limit=3)


def test_only_subjects_that_tell_a_document_apart_are_listed() -> None:
    subjects = [
        ("Harbour Board", "Ada Brandt", "Merle", "Cape Sorrow"),
        ("Harbour Board", "harbour board"),
        ("Ann\nLee",),
    ]
    documents = [replace(document(number, "merle.pdf"), subjects=each) for number, each in enumerate(subjects)]
    assert list_own_subjects(documents) == {documents[0]: ["Ada Brandt", "Cape Sorrow"], documents[2]: ["Ann Lee"]}
    assert list_own_subjects(documents[:1]) == {documents[0]: ["Harbour Board", "Ada Brandt"]}
    assert list_own_subjects([]) == {}
