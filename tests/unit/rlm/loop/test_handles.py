import pytest
from rlm.loop.spans import parse_handle, parse_handles, plain

from rlm.sandbox.port import ToolError
from tests.support.corpora import corpus_of

CORPUS = corpus_of("One.", "Two and two.", "Three.")


@pytest.mark.parametrize("value", ["doc-2", "2.md", "Title 2", {"document": "doc-2"}, {"document": "doc-2", "end": 99}])
def test_a_document_is_found_by_its_id_name_or_title(value: object) -> None:
    assert parse_handle(value, CORPUS) == CORPUS.documents[1].handle


@pytest.mark.parametrize("value", [{"document": "Title 2"}, {"document": ["doc-2"]}, {"document": None}, "doc", ""])
def test_what_is_no_documents_id_is_refused(value: object) -> None:
    with pytest.raises(ToolError):
        parse_handle(value, CORPUS)


def test_no_handle_takes_a_walk_over_all_documents() -> None:
    corpus = corpus_of("One.", "Two.")
    handles = [each.handle for each in corpus.documents]
    parse_handle("doc-1", corpus)
    corpus.documents = ()
    assert parse_handles([*map(plain, handles), "doc-2"], corpus) == [*handles, handles[1]]
