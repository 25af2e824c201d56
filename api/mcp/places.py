"""The URL path of the protocol, and the concurrency limits of its requests."""

from dataclasses import dataclass

from api.admission.turns import TenantSlots
from api.http.threads import AnswerThreads

PATH = "/mcp"


@dataclass(frozen=True)
class Capacity:
    """The threads in which this process makes answers, and the slots that long waits occupy."""

    threads: AnswerThreads
    streams: TenantSlots
