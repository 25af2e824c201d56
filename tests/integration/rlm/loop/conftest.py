"""The real sandbox, for runs of short cells."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxIsolation, SandboxLimits

LIMITS = SandboxLimits(memory_bytes=64 * 1024**2, cell_seconds=120.0, grace_seconds=0.3, output_chars=2_000)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Its cells have more time than a busy machine needs."""
    made = build_sandbox(SandboxIsolation.PLAIN, LIMITS)
    yield made
    made.close()


@pytest.fixture
def hasty() -> Iterator[Sandbox]:
    """Its cells have little time."""
    made = build_sandbox(SandboxIsolation.PLAIN, replace(LIMITS, cell_seconds=2.0))
    yield made
    made.close()
