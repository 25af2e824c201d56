"""What one session may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SandboxLimits:
    """`cell_seconds` is time in which the code itself runs; tools are waited for besides.

    A worker that has not stopped `grace_seconds` after that is killed. `calls` are calls of tools and everything else
    that a session asks of its host. `sessions` are open at once, and one more waits `wait_seconds` for its turn.
    """

    memory_bytes: int = 512 * 1024**2
    cell_seconds: float = 30.0
    recursion_depth: int = 200
    calls: int = 200_000
    output_chars: int = 20_000
    error_chars: int = 3_000
    sessions: int = 64
    wait_seconds: float = 30.0
    grace_seconds: float = 1.0


DEFAULT_LIMITS = SandboxLimits()
