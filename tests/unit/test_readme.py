"""What README.md says of errors and questions is what the code does."""

import re
from pathlib import Path

from api.problems import status_of
from ingest.errors import LeadlineError
from rlm.llm.profiles import ProfileFileError
from rlm.requests import StrategyName, Wanted
from tests.support.corpora import corpus_of
from tests.support.labelled_records import document, labelled_records

README = (Path(__file__).parents[2] / "README.md").read_text()
_ROW = re.compile(r"^\| (`[a-z_`, ]+`) \| (\d{3}|–) \|", re.MULTILINE)


def errors(kind: type[LeadlineError] = LeadlineError) -> list[type[LeadlineError]]:
    return [kind, *(found for each in kind.__subclasses__() for found in errors(each))]


def test_each_code_has_the_status_that_is_described() -> None:
    known = {kind.code: kind for kind in errors()}
    described = {code: status for codes, status in _ROW.findall(README) for code in re.findall(r"\w+", codes)}
    assert len(described) >= 15
    assert described.pop(ProfileFileError.code) == "–"  # it keeps the service from starting
    assert {code: str(status_of(known[code]("It failed."))) for code in described} == described


def test_the_question_that_is_said_to_be_judged_record_by_record_is() -> None:
    (question,) = re.findall(r'leadline ask "(.*)" +# over all records: judged', README)
    corpus = corpus_of(document(labelled_records(120)))
    for can_program in (False, True):
        found = route(question, Wanted(), lambda: corpus, can_judge=True, can_program=can_program)
        assert found.strategy is StrategyName.EXHAUSTIVE
        assert found.plan is not None
        assert found.plan.steps
