"""What a system found, and how fast, as figures: the same arithmetic for all."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from retrieval.evaluation.passages import PASSAGES, Place
from retrieval.evaluation.runs import Run


class PeerError(Exception):
    """A system did not do what it was asked; the message says why."""


@dataclass
class Found:
    """The passages of one search by query id, best first, and milliseconds."""

    seconds: float = 0.0
    passages: dict[str, list[Place]] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)


def read(lines: Iterable[str], queries: Collection[str]) -> dict[str, Found]:
    """Read what a peer wrote, which `peer.py` describes: what each of its searches found, by the search's name.

    Raises `PeerError` for an error, or when a query was not answered by all searches.
    """
    found: dict[str, Found] = {}
    for text in lines:
        try:
            line: dict[str, Any] = json.loads(text)
        except ValueError:  # half a line: it was killed
            break
        if "error" in line:
            raise PeerError(line["error"])
        if "searches" in line:
            found = {name: Found(line["seconds"]) for name in line["searches"]}
        else:
            one = found[line["search"]]
            one.passages[line["query"]] = [Place(*passage) for passage in line["found"]]
            one.milliseconds[line["query"]] = line["ms"]
    if not found:
        raise PeerError("Its process ended before the corpus was indexed.")
    if missing := sum(query not in one.passages for one in found.values() for query in queries):
        raise PeerError(f"Its process ended before {missing} searches were done.")
    return found


def summarize(found: Found, run: Run) -> dict[str, Any]:
    """Return the measures with 95 % intervals, the time, and how many characters ten passages have on average."""
    times = list(found.milliseconds.values())
    return {
        "measures": {name: asdict(each) for name, each in run.summary().items()},
        "characters": round(float(np.mean([_characters(places) for places in found.passages.values()]))),
        "indexing_seconds": round(found.seconds, 2),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
    }


def shown(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a table."""
    measures = {
        name: f"{each['mean']:.3f} [dim]{each['low']:.3f}–{each['high']:.3f}[/dim]"
        for name in ("ndcg@10", "mrr@10", "found@5", "recall@10")
        if (each := row["measures"].get(name))
    }
    times = {"p50 ms": f"{row['p50_ms']:.1f}", "index s": f"{row['indexing_seconds']:.0f}"}
    return {**measures, "characters": f"{row['characters']:,}", **times}


def _characters(places: Iterable[Place]) -> int:
    return sum(place.end - place.start for place in list(places)[:PASSAGES])
