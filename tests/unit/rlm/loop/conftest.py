"""A sandbox without a process; `tests/integration/rlm/loop` runs the same tests with the real one."""

import pytest

from rlm.sandbox.port import Sandbox
from tests.fakes.sandbox_here import SandboxHere


@pytest.fixture
def sandbox() -> Sandbox:
    return SandboxHere()
