"""The path of the protocol, and where its requests work."""

from dataclasses import dataclass

from api.admission.turns import TenantSlots
from api.http.threads import AnswerThreads

PATH = "/mcp"


@dataclass(frozen=True)
class Capacity:
    """Where answers are made in this process, and where long waits are counted."""

    threads: AnswerThreads
    streams: TenantSlots
