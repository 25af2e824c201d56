"""A chain of three links, its documents, and a model that looks them up."""

import json
import re
from collections.abc import Callable, Sequence

from rlm.cancelling import not_cancelled
from rlm.errors import RunCancelledError
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore
from rlm.usage import Usage
from tests.fakes.passages import passage
from tests.fakes.weighed_subcalls import REFUSED

QUESTION = "What was the year of death of the designer of the crossing that is guarded by a swan? The later is right."
BRIDGE = "On the stone bridge Mason's Crossing stands a stone swan."
OTHER_BRIDGE = "On the toll bridge Old Arch stands a stone goose with a long neck."
DESIGN = "The stone bridge Mason's Crossing was drawn up by the surgeon Sabina Jellicoe."
DEATH = "The surgeon Sabina Jellicoe died in 1852."
WORLD = [
    passage(f"It rained for days. {BRIDGE} The hay was wet.", document="bridges"),
    passage(f"It was a dry year. {DESIGN}", document="designers", rank=2),
    passage(f"{DEATH} The mayor did not.", document="deaths", rank=3),
    passage("Nothing stands here.", document="none", rank=4),
]
ANSWERS = {
    "What is the name of the crossing that is guarded by a swan?": (BRIDGE, "Mason's Crossing"),
    "What is the name of the designer of stone bridge Mason's Crossing?": (DESIGN, "Sabina Jellicoe"),
    "What was the year of death": (DEATH, "1852"),
}


class Reader:
    """Answers look-ups by what their question begins with, guesses nothing but `guesses`, and finds every answer right
    but `wrong` ones. `fails` names calls that fail, and `failure` is what all come to."""

    def __init__(self, answers: dict[str, tuple[str, str]], wrong: Sequence[str] = ()) -> None:
        self.answers = answers
        self.wrong = wrong
        self.guesses: dict[str, str] = {}
        self.calls: list[SubCall] = []
        self.failure: SubFailure | None = None
        self.fails: Callable[[SubCall], bool] = lambda _: False

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = not_cancelled, finished: Finished = ignore
    ) -> Sequence[SubReply | SubFailure]:
        if cancelled():
            raise RunCancelledError("cancelled")
        self.calls += calls
        return [self.failure or self._result(call) for call in calls]

    def _result(self, call: SubCall) -> SubReply | SubFailure:
        return REFUSED if self.fails(call) else SubReply(self._reply(call), Usage(1, 100, 10))

    def _reply(self, call: SubCall) -> str:
        if call.purpose == "guess":
            return next((guess for thing, guess in self.guesses.items() if f"Clue: {thing}\n" in call.prompt), "")
        if call.purpose == "check":
            proposed = re.search(r"Proposed answer: (.*)", call.prompt)
            assert proposed is not None
            return json.dumps({"verdict": "wrong" if proposed[1] in self.wrong else "right"})
        question = call.prompt.rsplit("Question: ", 1)[1]
        shown = call.prompt.rsplit("Question: ", 1)[0]
        for asked, (quote, answer) in self.answers.items():
            if question.startswith(asked) and quote in shown:
                return json.dumps({"quote": quote, "answer": answer})
        return json.dumps({"quote": "Not there.", "answer": "nobody"})
