"""The root model sees the code of all cells, and the output of older cells shortened."""

from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import in_code
from tests.support.recursive_runs import SUBMIT, Asked


def test_of_older_cells_the_code_and_both_ends_of_the_output_are_shown(sandbox: Sandbox) -> None:
    long = "print('begin ' + 'word ' * 310 + 'middle ' + 'word ' * 700 + 'end')"
    asked = Asked(sandbox, in_code(long), in_code("print('next')"), in_code(SUBMIT))
    latest, older = asked.root.prompts[1], asked.root.prompts[2]
    assert "middle" in latest.split("Output:")[1]
    output = older.split("Output:")[1]
    assert long in older
    assert output.startswith("\nbegin word")
    assert "word end\n" in output
    assert "middle" not in output
    assert 3_000 < len(output) < 3_200
    assert "next" in older.split("Output:")[2]
