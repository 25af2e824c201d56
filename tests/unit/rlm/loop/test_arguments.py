import pytest

from rlm.loop.evidence import convert_to_plain_handle, parse_handle, parse_handles, parse_spans
from rlm.sandbox.port import ToolError
from tests.support.corpora import corpus_of

CORPUS = corpus_of("One.", "Two and two.", "Three.")


@pytest.mark.parametrize(
    "value",
    [
        "doc-2",
        "2.md",
        "Title 2",
        *({"document": each} for each in ("doc-2", "2.md", "Title 2")),
        {"document": "doc-2", "end": 99},
    ],
)
def test_a_document_is_found_by_its_id_name_or_title(value: object) -> None:
    assert parse_handle(value, CORPUS) == CORPUS.documents[1].handle


@pytest.mark.parametrize("value", [{"document": "Title 9"}, {"document": ["doc-2"]}, {"document": None}, "doc", ""])
def test_what_is_no_documents_id_is_refused(value: object) -> None:
    with pytest.raises(ToolError):
        parse_handle(value, CORPUS)


def test_a_handle_stays_a_handle_with_more_keys_and_other_bounds() -> None:
    handle = CORPUS.documents[1].handle[4:7]
    assert parse_handle({**convert_to_plain_handle(handle), "title": "x"}, CORPUS) == handle
    assert parse_handle({**convert_to_plain_handle(handle), "end": 5}, CORPUS) == handle[:1]


def test_tools_are_limited_to_one_place_or_to_many_or_not_at_all() -> None:
    handles = [each.handle for each in CORPUS.documents]
    assert parse_spans(None, CORPUS) == handles
    assert parse_spans("doc-2", CORPUS) == [handles[1]]
    assert parse_spans(["doc-3", convert_to_plain_handle(handles[0][1:2])], CORPUS) == [handles[2], handles[0][1:2]]
    assert parse_spans([{"document": "doc-2", "end": 6}, {"document": "doc-2", "start": 2}], CORPUS) == [handles[1]]
    with pytest.raises(ToolError, match="empty list"):
        parse_spans([], CORPUS)


def test_no_handle_takes_a_walk_over_all_documents() -> None:
    corpus = corpus_of("One.", "Two.")
    handles = [each.handle for each in corpus.documents]
    parse_handle("doc-1", corpus)
    corpus.documents = ()
    assert parse_handles([*map(convert_to_plain_handle, handles), "doc-2"], corpus) == [*handles, handles[1]]
