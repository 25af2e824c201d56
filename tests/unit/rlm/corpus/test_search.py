from dataclasses import replace

import pytest

from rlm.corpus import corpus as module
from rlm.corpus.corpus import build_handle, restrict_scope, select_passages
from rlm.requests import AnswerScope
from tests.fakes.passages import passage
from tests.support.corpora import corpus_of

WHOLE = corpus_of("One.", "Two.", "Three.")
SCOPE = AnswerScope("ann", collections=("c",))


def test_the_whole_is_searched_by_its_scope() -> None:
    assert restrict_scope(WHOLE, WHOLE, SCOPE) == SCOPE


def test_a_part_is_searched_by_its_documents_in_the_same_collections() -> None:
    part = WHOLE.restrict_to_documents([WHOLE.documents[2].handle, WHOLE.documents[0].handle])
    assert restrict_scope(part, WHOLE, SCOPE) == AnswerScope("ann", ("c",), ("doc-1", "doc-3"))


def test_a_part_of_very_many_documents_is_searched_by_the_whole_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_NAMED", 1)
    assert (
        restrict_scope(WHOLE.restrict_to_documents([each.handle for each in WHOLE.documents[:2]]), WHOLE, SCOPE)
        == SCOPE
    )


def test_of_what_was_found_only_passages_that_touch_a_span_are_kept() -> None:
    elsewhere = passage("Other.", rank=1)
    two = replace(passage("Two.", document="doc-2", rank=2), version_id="v2", start=0, end=4)
    whole = WHOLE.documents[1].handle
    assert select_passages([whole[2:], whole[4:]], [elsewhere, two]) == [two]
    assert select_passages([whole[4:]], [two]) == []
    assert build_handle(two) == whole
