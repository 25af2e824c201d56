"""The path of the protocol, and where its requests work."""

from dataclasses import dataclass

from api.admission.turns import Turns
from api.http.threads import AnswerThreads

PATH = "/mcp"


@dataclass(frozen=True)
class Places:
    """Where answers are made in this process, and where long waits are counted."""

    threads: AnswerThreads
    streams: Turns
