"""Peers, each a process of its own."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.peers.retrieval import peer
from tests.peers.retrieval.__main__ import search
from tests.peers.retrieval.figures import PeerError


@pytest.mark.parametrize("system", sorted({*peer.SYSTEMS} - {"langchain"}))
def test_a_peer_that_is_not_installed_says_so(system: str) -> None:
    """This environment has none of them but LangChain, which the tests of document loaders need."""
    with pytest.raises(PeerError, match="No module named"):
        search(Path(sys.executable), request(system), seconds=60.0)


def test_a_peer_that_takes_too_long_is_killed_and_says_so() -> None:
    with pytest.raises(PeerError, match="killed after 0 s"):
        search(Path(sys.executable), request(peer.SYSTEMS[0]), seconds=0.0)


def request(system: str) -> dict[str, Any]:
    none = {"model": "none", "tokenizer": "none", "top_k": 10}
    return {"system": system, **none, "texts": {"d1": "a"}, "queries": {"q1": "a"}}
