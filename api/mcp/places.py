"""The URL path of the MCP endpoint, and the concurrency limits for its requests."""

from dataclasses import dataclass

from api.admission.turns import TenantSlots
from api.http.threads import AnswerThreads

PATH = "/mcp"


@dataclass(frozen=True)
class Capacity:
    """The threads that generate this process's answers, and the slots for requests that wait for a long time."""

    threads: AnswerThreads
    streams: TenantSlots
