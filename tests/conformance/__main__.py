"""Runs every program in the sandbox and says how many print what CPython prints: `python -m tests.conformance`."""

import sys

from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import SandboxIsolation
from tests.conformance.programs import TOOLS, expected, programs


def main() -> int:
    sandbox = build_sandbox(SandboxIsolation.PLAIN)
    known = programs()
    right = 0
    for program in known:
        session = sandbox.open(TOOLS)
        cell = session.run(program.code)
        session.close()
        wanted = expected(program.code)
        if cell.error is None and cell.output == wanted:
            right += 1
            continue
        print(f"\n{program.name}\n{cell.error or f'printed {cell.output!r}, and CPython {wanted!r}'}")
    sandbox.close()
    print(f"\n{right} of {len(known)} programs print what CPython prints ({right / len(known):.1%}).")
    return 0


sys.exit(main())
