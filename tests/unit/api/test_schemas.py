"""What crosses the wire, made from the core's records."""

import json
import math

from api.schemas import AnswerOut
from rlm.answers import Answer, AnswerStatus, Result, Searched, answer_json


def test_an_answer_on_the_wire_has_the_result_that_a_run_keeps() -> None:
    value = [{("a", "b"): 3}, {"x"}, math.inf, "half \ud800"]
    answer = Answer(
        AnswerStatus.ANSWERED, "3", (), (), "recursive", None, Searched(0, 0, ()), result=Result("list", value)
    )
    sent = AnswerOut.of(answer)
    assert sent.model_dump(mode="json")["result"] == answer_json(answer)["result"]
    assert json.loads(sent.model_dump_json()) == sent.model_dump(mode="json")
