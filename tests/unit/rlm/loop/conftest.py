"""The real sandbox, for runs of short cells."""

from collections.abc import Iterator

import pytest

from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxForm, SandboxLimits


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    limits = SandboxLimits(memory_bytes=64 * 1024**2, cell_seconds=1.0, grace_seconds=0.3, output_chars=2_000)
    made = build_sandbox(SandboxForm.PLAIN, limits)
    yield made
    made.close()
