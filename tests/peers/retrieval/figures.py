"""What a system found, and how fast, as figures: the same arithmetic for all."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrieval.evaluation.metrics import Grades
from retrieval.evaluation.runs import judge

TOP_K = 10


class PeerError(Exception):
    """A system did not do what it was asked; the message says why."""


@dataclass
class Found:
    """Rankings and milliseconds by query id. `threads` are those of the encoder, where it says."""

    seconds: float = 0.0
    rankings: dict[str, list[str]] = field(default_factory=dict)
    milliseconds: dict[str, float] = field(default_factory=dict)
    threads: int | None = None


def read(lines: Iterable[str], queries: Iterable[str]) -> Found:
    """The lines of a peer, which `peer.py` describes. Raises `PeerError` for an error or what is not all there."""
    found, indexed = Found(), False
    for text in lines:
        try:
            line: dict[str, Any] = json.loads(text)
        except ValueError:  # half a line: it was killed
            break
        if "error" in line:
            raise PeerError(line["error"])
        if "threads" in line:
            found.threads = line["threads"]
        elif "indexed" in line:
            found.seconds, indexed = line["seconds"], True
        else:
            found.rankings[line["query"]] = line["found"]
            found.milliseconds[line["query"]] = line["ms"]
    if not indexed:
        raise PeerError("Its process ended before the corpus was indexed.")
    if missing := [query for query in queries if query not in found.rankings]:
        raise PeerError(f"Its process ended before {len(missing)} queries were answered.")
    return found


def summarize(found: Found, qrels: Mapping[str, Grades], tokens: int) -> dict[str, Any]:
    """nDCG@10 with its 95 % interval, tokens a second of the whole indexing, and quantiles of the time of a query."""
    ndcg = judge(found.rankings, qrels).summary()["ndcg@10"]
    times = list(found.milliseconds.values())
    return {
        "ndcg@10": round(ndcg.mean, 4),
        "low": round(ndcg.low, 4),
        "high": round(ndcg.high, 4),
        "indexing_seconds": round(found.seconds, 2),
        "tokens_per_second": round(tokens / found.seconds),
        "p50_ms": round(float(np.percentile(times, 50)), 2),
        "p95_ms": round(float(np.percentile(times, 95)), 2),
        "threads": found.threads,
    }
