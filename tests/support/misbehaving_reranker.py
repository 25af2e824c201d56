"""What a reranker's server answers, well and badly: behaviours for `misbehaving_openai`'s server."""

import json
from collections.abc import Callable
from typing import Any

from tests.fakes.overlap_reranker import OverlapReranker
from tests.support.misbehaving_openai import Behaviour, Request


def reranks(request: Request) -> None:
    """By shared words, in the form that the path asks for, best first as such servers do."""
    body, scoring = request.body, request.path.endswith("/score")
    query, passages = (body["text_1"], body["text_2"]) if scoring else (body["query"], body["documents"])
    scores = OverlapReranker().score_passages(query, passages, deadline=float("inf"))
    member = "score" if scoring else "relevance_score"
    entries = [{"index": index, member: score} for index, score in enumerate(scores)]
    entries.sort(key=lambda entry: -entry[member])
    reply(request, {"model": body["model"], "data" if scoring else "results": entries})


def replies_with(change: Callable[[list[dict[str, Any]]], object]) -> Behaviour:
    """A reply of the form of /rerank whose entries were changed."""

    def behave(request: Request) -> None:
        entries = [{"index": index, "relevance_score": 0.5} for index in range(len(request.body["documents"]))]
        changed = change(entries)
        reply(request, {"results": entries if changed is None else changed})

    return behave


def says(text: str) -> Behaviour:
    """Whatever text instead of JSON."""
    return lambda request: _send(request, text.encode())


def drips(request: Request) -> None:
    """Begins a reply and never ends it."""
    request.begin()
    while not request.until_hang_up(0.005):
        request.raw(b" ")


def reply(request: Request, content: object) -> None:
    _send(request, json.dumps(content).encode())


def _send(request: Request, content: bytes) -> None:
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
