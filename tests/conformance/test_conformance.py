"""How much of the Python that models write runs in the sandbox, and prints what CPython prints."""

from collections.abc import Iterator

import pytest

from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxIsolation
from tests.conformance.programs import REFUSED, TOOLS, Program, expected, programs

PROGRAMS = programs()
RUN = [program for program in PROGRAMS if program.theme != REFUSED]
NOT_RUN = [program for program in PROGRAMS if program.theme == REFUSED]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = build_sandbox(SandboxIsolation.PLAIN)
    yield made
    made.close()


@pytest.mark.parametrize("theme", sorted({program.theme for program in RUN}))
def test_programs_print_what_cpython_prints(sandbox: Sandbox, theme: str) -> None:
    wrong = {}
    for program in (each for each in RUN if each.theme == theme):
        session = sandbox.open(TOOLS)
        cell = session.run(program.code)
        session.close()
        if cell.error is not None or cell.output != expected(program.code):
            wrong[program.title] = cell
    assert not wrong


@pytest.mark.parametrize("program", NOT_RUN, ids=lambda program: program.title)
def test_what_does_not_run_says_what_to_write_instead(sandbox: Sandbox, program: Program) -> None:
    session = sandbox.open(TOOLS)
    cell = session.run(program.code)
    session.close()
    assert cell.error is not None, "it runs now: move it to another file"
    last = cell.error.splitlines()[-1]
    assert last.startswith(("Hint: ", "SyntaxError: line ")) or "sort by a key" in last


def test_there_are_at_least_200_programs_and_95_percent_of_them_run() -> None:
    assert len(PROGRAMS) >= 200
    assert len(RUN) >= 0.95 * len(PROGRAMS)
