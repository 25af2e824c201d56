"""The rows of the report: each fault, and what became of the requests sent meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmark.figures import print_rows
from tests.faults.whole_cluster.load import Sent, count_statuses

_TABLE_WIDTH = 180


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
    """Sum up the requests that ended during a window; those under way when a fault begins count to it."""
    mine = [each for each in sent if window.begun <= each.at + each.seconds < window.ended]
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


def print_windows(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """A row for each window, or one JSON object a line."""
    if as_json:
        print_rows(rows, as_json)
        return
    table = Table(*(name.replace("_", "\n") for name in (rows[0] if rows else ())))
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(width=_TABLE_WIDTH).print(table)


def list_wrong_results(sent: Sequence[Sent]) -> list[str]:
    return [f"{each.kind}: {each.differs}" for each in sent if each.differs]


def _describe_failures(name: str, sent: Sequence[Sent]) -> Mapping[str, str]:
    failed = [each for each in sent if each.failed]
    return {f"{name}_failed": f"{len(failed)} ({count_statuses(failed)})" if failed else "0"}
