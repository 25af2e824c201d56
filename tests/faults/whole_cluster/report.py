"""The rows of the report: each fault, and what became of the requests sent meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.faults.whole_cluster.load import Sent, count_statuses


@dataclass(frozen=True)
class Window:
    """The time of one fault, in seconds since the epoch: it begins, the cluster is whole again, the next one begins.

    `ready` is the number of documents that became ready meanwhile.
    """

    part: str
    kind: str
    begun: float
    whole: float
    ended: float
    ready: int


def build_row(window: Window, sent: Sequence[Sent]) -> Mapping[str, Any]:
    """Sum up the requests that were sent from the beginning to the end of a window."""
    mine = [each for each in sent if window.begun <= each.at < window.ended]
    searches, questions, uploads = ([s for s in mine if s.kind == kind] for kind in ("search", "question", "upload"))
    return {
        "part": window.part,
        "fault": window.kind,
        "seconds": round(window.ended - window.begun, 1),
        "whole_after_seconds": round(window.whole - window.begun, 1),
        "searches": len(searches),
        **_describe_failures("searches", searches),
        "failed_when_whole": sum(s.failed for s in mine if s.at >= window.whole),
        "differ": sum(bool(s.differs) for s in searches),
        "slowest_search_s": round(max((s.seconds for s in searches), default=0.0), 2),
        "questions": len(questions),
        **_describe_failures("questions", questions),
        **_describe_failures("uploads", uploads),
        "ready_per_second": round(window.ready / (window.ended - window.begun), 1),
    }


def list_wrong_results(sent: Sequence[Sent]) -> list[str]:
    return [f"{each.kind}: {each.differs}" for each in sent if each.differs]


def _describe_failures(name: str, sent: Sequence[Sent]) -> Mapping[str, str]:
    failed = [each for each in sent if each.failed]
    return {f"{name}_failed": f"{len(failed)} ({count_statuses(failed)})" if failed else "0"}
