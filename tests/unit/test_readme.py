"""What README.md says of errors and questions is what the code does."""

import re
from pathlib import Path

from api.problems import status_of
from ingest.errors import LeadlineError
from rlm.llm.profiles import ProfileFileError

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
