"""What crosses the wire, made from the core's records."""

import json
import math

import pytest
from pydantic import ValidationError

from api.accounts.schemas import LinkIn
from api.answers.run_schemas import RunEventOut
from api.answers.schemas import AnswerOut, BudgetIn
from ingest.storage.answers.run_records import RunEvent
from ingest.storage.remarks import Remark
from rlm.answers import (
    Answer,
    AnswerStatus,
    Check,
    Result,
    SearchSummary,
    Sentence,
    Support,
    build_answer_json,
    build_stored_answer,
)
from tests.fakes.scripted_answers import answer


def test_an_answer_on_the_wire_has_the_result_that_a_run_keeps() -> None:
    value = [{("a", "b"): 3}, {"x"}, math.inf, "half \ud800"]
    answer = Answer(
        AnswerStatus.ANSWERED, "3", (), (), "recursive", None, SearchSummary(0, 0, ()), result=Result("list", value)
    )
    sent = AnswerOut.from_stored_answer(build_stored_answer(answer, "id", "ann", "How many?", None))
    assert sent.model_dump(mode="json")["result"] == build_answer_json(answer)["result"]
    assert json.loads(sent.model_dump_json()) == sent.model_dump(mode="json")


def test_an_answer_of_an_earlier_release_gets_the_support_that_its_checks_imply() -> None:
    sentences = (Sentence("It sank [1].", 0, 12, (1,), Check.VERIFIED), Sentence("It burned [1].", 13, 27, (1,)))
    body = build_answer_json(
        Answer(
            AnswerStatus.ANSWERED, "It sank [1]. It burned [1].", sentences, (), "direct", None, SearchSummary(0, 0, ())
        )
    )
    for each in body["sentences"]:
        del each["support"]
    read = AnswerOut.from_body(body, identifier="id", conversation=None)
    assert [each.support for each in read.sentences] == [Support.FULL, None]


def test_an_event_of_a_run_can_be_sent_whatever_a_model_wrote() -> None:
    event = RunEventOut.from_event(RunEvent(1, "cell", {"code": "print('half \ud83d')", "seconds": 0.5}, 0.0))
    assert json.loads(event.model_dump_json())["body"] == {"code": "print('half ?')", "seconds": 0.5}


@pytest.mark.parametrize("seconds", ["1e999", "NaN", "0"])
def test_a_time_that_is_none_is_no_budget(seconds: str) -> None:
    with pytest.raises(ValidationError):
        BudgetIn.model_validate(json.loads(f'{{"seconds": {seconds}}}'))


def test_a_default_of_several_scopes_is_written_in_one_order_by_every_process() -> None:
    assert LinkIn().model_dump(mode="json")["scopes"] == ["ask", "read", "write"]


def test_notes_and_reasons_are_sent_with_their_codes() -> None:
    made = answer("d", notes=(Remark("answer_cut_off"),), reasons=("The model's own words.",))
    sent = AnswerOut.from_body(build_answer_json(made), identifier=None, conversation=None)
    assert [each and each.code for each in sent.coded_notes] == ["answer_cut_off"]
    assert sent.coded_reasons == [None]


def test_codes_are_not_sent_with_notes_that_were_changed_since() -> None:
    made = answer("d", notes=(Remark("document_unreadable", title="Secret", document="d"),), reasons=())
    body = build_answer_json(made) | {"notes": ["Parts of this answer are withheld."]}
    assert AnswerOut.from_body(body, identifier=None, conversation=None).coded_notes == []
