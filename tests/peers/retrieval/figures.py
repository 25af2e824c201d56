"""What a system found, as figures: the same arithmetic for all."""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from retrieval.evaluation.passages import MAX_PASSAGES, DocumentSpan
from retrieval.evaluation.runs import EvaluationRun


class PeerError(Exception):
    """A system did not do what it was asked; the message says why."""


# The passages of one search by query id, best first.
Found = dict[str, list[DocumentSpan]]


def read(lines: Iterable[str], queries: Collection[str]) -> dict[str, Found]:
    """Read what a peer wrote, which `peer.py` describes: what each of its searches found, by the search's name.

    Raises `PeerError` for an error, or when a query was not answered.
    """
    found: dict[str, Found] = {}
    answered = set()
    for text in lines:
        try:
            line: dict[str, Any] = json.loads(text)
        except ValueError:  # half a line: it was killed
            break
        if "error" in line:
            raise PeerError(line["error"])
        answered.add(line["query"])
        for search, passages in line["found"].items():
            found.setdefault(search, {})[line["query"]] = [DocumentSpan(*passage) for passage in passages]
    if missing := len(set(queries) - answered):
        raise PeerError(f"Its process ended before {missing} queries were answered.")
    return found


def summarize(found: Found, run: EvaluationRun) -> dict[str, Any]:
    """Return the measures with 95 % intervals, and how many characters the first ten passages have on average."""
    read = sum(place.end - place.start for places in found.values() for place in places[:MAX_PASSAGES])
    return {
        "measures": {name: asdict(each) for name, each in run.summarize().items()},
        "characters": round(read / len(found)),
    }


def shown(row: Mapping[str, Any]) -> dict[str, str]:
    """Return the columns of a table."""
    measures = {
        name: f"{each['mean']:.3f} [dim]{each['low']:.3f}–{each['high']:.3f}[/dim]"
        for name in ("ndcg@10", "mrr@10", "found@5", "recall@10")
        if (each := row["measures"].get(name))
    }
    return {**measures, "characters": f"{row['characters']:,}"}
