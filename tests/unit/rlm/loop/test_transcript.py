"""The root model sees the code of all cells, and the output of older cells shortened."""

from itertools import pairwise

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
    assert "characters 1,500 to 3,566 left out; print what you need of them again" in output
    assert 3_000 < len(output) < 3_200
    assert "next" in older.split("Output:")[2]


def test_only_the_end_of_the_next_prompt_differs(sandbox: Sandbox) -> None:
    cells = [in_code(f"print('cell {number} ' + 'word ' * 2000)") for number in range(4)]
    prompts = Asked(sandbox, *cells, in_code(SUBMIT)).root.prompts
    for before, after in pairwise(prompts[1:]):
        assert after.startswith(before[: -len("word ") * 2000])
