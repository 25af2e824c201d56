import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.evaluation.passages import DocumentSpan
from tests.peers.environment import required
from tests.peers.retrieval import peer
from tests.peers.retrieval.corpora import Asked, open_asked
from tests.peers.retrieval.figures import PeerError, read, shown, summarize
from tests.peers.retrieval.spans import Passage, Spans

QUERIES = ["q1", "q2"]
LINES = [
    {"query": "q1", "found": {"vectors": [["d1", 0, 4], ["d1", 4, 9], ["d2", 0, 7]]}},
    {"query": "q2", "found": {"vectors": [["d2", 0, 7], ["d3", 0, 7]]}},
]


@pytest.fixture
def whole_texts(tmp_path: Path) -> Asked:
    folder = tmp_path / "data"
    (folder / "qrels").mkdir(parents=True)
    texts = [("d1", "Whales", "The white whale."), ("d2", "", "A ship."), ("d3", "", "The tide at noon.")]
    (folder / "corpus.jsonl").write_text(
        "\n".join(json.dumps({"_id": identifier, "title": title, "text": text}) for identifier, title, text in texts)
    )
    queries = [{"_id": "q1", "text": "whale"}, {"_id": "q2", "text": "tide"}, {"_id": "q3", "text": "unjudged"}]
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\nq2\td3\t1\n")
    return open_asked(folder, None)


@pytest.fixture
def spans_of_texts(tmp_path: Path) -> Asked:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "log.md").write_text("At noon the tide fell.\n\nAt dusk the whale rose.\n")
    question = {"id": "q1", "question": "when?", "references": [{"document": "log.md", "start": 24, "end": 47}]}
    (tmp_path / "asked.jsonl").write_text(json.dumps(question))
    return open_asked(tmp_path / "asked.jsonl", tmp_path / "texts")


def lines(count: int = len(LINES)) -> list[str]:
    return [json.dumps(line) for line in LINES[:count]]


def test_systems_get_title_and_text_of_all_documents_and_the_judged_queries(whole_texts: Asked) -> None:
    assert whole_texts.texts == {"d1": "Whales\n\nThe white whale.", "d2": "A ship.", "d3": "The tide at noon."}
    assert whole_texts.queries == {"q1": "whale", "q2": "tide"}


def test_a_text_judged_as_a_whole_ranks_by_the_best_of_its_passages(whole_texts: Asked) -> None:
    found = read(lines(), QUERIES)["vectors"]
    row = summarize(found, whole_texts.judge(found))
    assert row["measures"]["mrr@10"]["mean"] == 0.75  # d1 first and d3 second
    assert row["measures"]["ndcg@10"]["mean"] == pytest.approx((1 + 0.6309) / 2, abs=1e-4)
    assert row["characters"] == 15


def test_a_passage_is_judged_by_the_span_that_it_shares_with_the_answer(spans_of_texts: Asked) -> None:
    def rank(*spans: tuple[int, int]) -> float:
        places = [DocumentSpan("log.md", *span) for span in spans]
        return spans_of_texts.judge({"q1": places}).figures["mrr@10"]["q1"]

    assert rank((24, 47)) == 1.0
    assert rank((0, 23), (30, 47)) == 0.5
    assert rank((0, 30)) == 0.0


def test_a_query_that_found_nothing_counts_as_zero(whole_texts: Asked) -> None:
    found = {"q1": [DocumentSpan("d1", 0, 5)], "q2": list[DocumentSpan]()}
    assert shown(summarize(found, whole_texts.judge(found)))["ndcg@10"].startswith("0.500")


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ([], "before 2 queries were answered"),
        (lines(1), "before 1 queries were answered"),
        ([*lines(1), '{"query": "q2", "f'], "before 1 queries were answered"),
        ([*lines(1), '{"error": "MemoryError: "}'], "MemoryError"),
    ],
)
def test_a_peer_that_did_not_do_it_all_has_no_figures(said: list[str], why: str) -> None:
    with pytest.raises(PeerError, match=why):
        read(said, QUERIES)


@given(st.text(" \nabc", max_size=60), st.data())
def test_a_chunk_is_found_in_its_text_whatever_became_of_white_space(text: str, data: st.DataObject) -> None:
    words = text.split()
    if not words:
        return
    first = data.draw(st.integers(0, len(words) - 1))
    chunk = " ".join(words[first : data.draw(st.integers(first + 1, len(words)))])
    start, end = Spans(text).of(chunk)
    assert "".join(text[start:end].split()) == "".join(chunk.split())


def test_a_chunk_that_stands_in_a_text_twice_is_found_where_it_was_cut() -> None:
    spans = Spans("again\n\nagain")
    assert [spans.of("again"), spans.of("again")] == [(0, 5), (7, 12)]


def request(system: str) -> dict[str, Any]:
    none = {"model": "none", "tokenizer": "none", "top_k": 10}
    return {"system": system, **none, "texts": {"d1": "a"}, "queries": {"q1": "a"}}


def test_a_peers_lines_are_what_each_of_its_searches_found(monkeypatch: pytest.MonkeyPatch) -> None:
    class Peer:
        def __init__(self, vectors: object) -> None:
            self.vectors = vectors

        def index(self, texts: dict[str, str]) -> None:
            self.texts = texts

        def search(self, query: str, top_k: int) -> dict[str, list[Passage]]:
            found = [(identifier, 0, len(text)) for identifier, text in self.texts.items() if query in text]
            return {"first": found[:top_k], "last": found[::-1][:top_k]}

    monkeypatch.setitem(sys.modules, "tests.peers.retrieval.scripted_peer", SimpleNamespace(Peer=Peer))
    asked = {**request("scripted"), "top_k": 1, "texts": {"d1": "a b", "d2": "b"}, "queries": {"q": "b"}}
    found = read([json.dumps(line) for line in peer.measure(asked)], ["q"])
    assert found == {"first": {"q": [DocumentSpan("d1", 0, 3)]}, "last": {"q": [DocumentSpan("d2", 0, 1)]}}


@pytest.mark.parametrize("system", peer.SYSTEMS)
def test_every_peer_names_its_release_and_the_same_encoder(system: str) -> None:
    packages = required(Path(peer.__file__).with_name(f"{system}.txt"))
    assert "==" in packages[0]
    assert "openvino==2026.4.1" in packages
