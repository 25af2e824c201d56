"""`/v1/search` over a real service: what a search may ask for, and what is refused."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.client import Client
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.scripted_chat import ScriptedChat
from tests.support.cluster import wait_until
from tests.support.service import running

BOOKS = {
    "brine.md": (1815, "# Brine\n\nTobias Reeve mends nets and sails.\n\nA whale is not in this book.\n"),
    "bull.md": (1851, "# Old Bull\n\nThe white whale swims.\n\n## Chase\n\nThe whale is chased by three boats.\n"),
    "notes.txt": (None, "A note on the whale and its bones, without any year."),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running(tmp_path_factory.mktemp("home")) as (_, found):
        for name, (year, text) in BOOKS.items():
            described = {} if year is None else {"year": year, "published": f"{year}-06-01"}
            form = {"metadata": (None, json.dumps(described).encode()), "files": (name, text.encode())}
            assert found.http.post("/v1/documents", files=form).status_code == 202
        wait_until(lambda: found.get("/v1/status")["documents"].get("ready") == len(BOOKS), what="all are ready")
        yield found


def search(client: Client, query: str = "whale", **options: object) -> httpx.Response:
    return client.http.post("/v1/search", json={"query": query, **options})


def titles(response: httpx.Response) -> set[str]:
    assert response.status_code == 200, response.text
    return {hit["title"] for hit in response.json()["hits"]}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"year": 1815}, {"Brine"}),
        ({"year": {"gte": 1800}}, {"Brine", "Old Bull"}),
        ({"published": {"gte": "1851-01-01", "lt": "1852-01-01"}}, {"Old Bull"}),
        ({"year": {"not": [1815, 1851]}}, {"notes.txt"}),
        ({"publisher": "Bentley"}, set()),
        ({"year": 1}, set()),
    ],
)
def test_filters_narrow_a_search_by_metadata(client: Client, filters: dict[str, Any], expected: set[str]) -> None:
    assert titles(search(client, filters=filters)) == expected


def test_a_hit_says_why_it_was_found(client: Client) -> None:
    hit = search(client, "white whales", explain=True, mode="bm25").json()["hits"][0]
    assert (hit["title"], hit["matched"]) == ("Old Bull", ["white", "whales"])


def test_hits_can_be_grouped_widened_and_made_to_differ(client: Client) -> None:
    response = search(client, top_k=2, grouped=True, expand_chars=500, diversity=0.3)
    assert len(titles(response)) == 2
    for hit in response.json()["hits"]:
        text = client.http.get(f"/v1/documents/{hit['document']}/content").text
        assert hit["text"] == text[hit["start"] : hit["end"]]


@pytest.mark.parametrize(
    "body",
    [
        {"query": ""},
        {"query": " \n\t"},
        {"query": "whale " * 9_000},
        {"query": "half a \ud83d"},
        {"query": None},
        {"query": 7},
        {},
        {"query": "whale", "top_k": 0},
        {"query": "whale", "top_k": 10_000_000},
        {"query": "whale", "top_k": "many"},
        {"query": "whale", "mode": "luck"},
        {"query": "whale", "fusion": "luck"},
        {"query": "whale", "diversity": 2},
        {"query": "whale", "expand_chars": -1},
        {"query": "whale", "per_document": 0},
        {"query": "whale", "filters": {"year": {"above": 1}}},
        {"query": "whale", "filters": {"published": {"gte": "soon"}}},
        {"query": "whale", "filters": {str(n): n for n in range(50)}},
        {"query": "whale", "filters": ["year"]},
        {"query": "whale", "documents": ["x"] * 1_001},
        {"query": "whale", "sort": "year"},
    ],
)
def test_a_search_that_cannot_be_done_is_a_problem_with_a_reason(client: Client, body: dict[str, Any]) -> None:
    response = client.http.post("/v1/search", content=json.dumps(body), headers={"content-type": "application/json"})
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    problem = response.json()
    assert problem["code"] in ("query_invalid", "filter_invalid", "invalid_request")
    assert problem["detail"]
    assert problem["hint"]


@pytest.mark.parametrize("mode", ["bm25", "dense", "hybrid"])
@pytest.mark.parametrize(
    "query", ["the of and", "?!… —", "🐋🐋", "क्या यह व्हेल है", "x" * 8_000, "\u202e\ufeff", "' OR 1=1 --"]
)
def test_a_query_of_any_text_is_answered(client: Client, query: str, mode: str) -> None:
    titles(search(client, query, mode=mode, explain=True))


@pytest.mark.parametrize(
    "narrowed",
    [{"documents": ["absent"]}, {"filters": {"year": 1815}, "documents": ["x"]}],
)
def test_what_leaves_nothing_to_search_finds_nothing(client: Client, narrowed: dict[str, Any]) -> None:
    assert titles(search(client, **narrowed)) == set()


def test_a_collection_that_is_not_there_is_said_to_be_none(client: Client) -> None:
    known = client.get("/v1/collections")["collections"][0]["name"]
    for path, asked in (("search", "query"), ("answers", "question"), ("answers/estimate", "question")):
        refused = client.http.post(f"/v1/{path}", json={asked: "whale", "collections": [known, "absent"]})
        assert (refused.status_code, refused.json()["code"]) == (404, "collection_not_found")
        assert refused.json()["detail"] == "Collection 'absent' not found."


def test_a_search_again_comes_from_the_cache_until_a_document_of_it_is_deleted(client: Client) -> None:
    form = {"files": ("kraken.txt", b"The kraken sleeps below the thunders of the deep.")}
    document = client.http.post("/v1/documents", files=form).json()["id"]
    for _ in client.follow(f"/v1/documents/{document}/events"):
        pass
    first, again = search(client, "kraken").json(), search(client, "kraken").json()
    assert (first["cached"], again["cached"]) == (False, True)
    assert again["hits"] == first["hits"]
    before = client.get("/v1/status")["query_cache"]
    client.delete(f"/v1/documents/{document}")
    gone = search(client, "kraken").json()
    assert not gone["cached"]
    assert all(hit["document"] != document for hit in gone["hits"])
    assert client.get("/v1/status")["query_cache"] == {"hits": before["hits"], "misses": before["misses"] + 1}


def test_a_rewrite_without_a_language_model_is_a_search_as_asked_and_flagged(client: Client) -> None:
    found = search(client, rewrite="hyde").json()
    assert found["rewrite"] == {"how": "hyde", "failure": "No language model is configured for rewriting queries."}
    assert (found["queries"], found["hits"]) == (["whale"], search(client).json()["hits"])
    assert search(client).json()["rewrite"] is None
    assert search(client, rewrite="luck").status_code == 422


def test_a_rewrite_names_its_queries_and_which_of_them_found_a_hit(tmp_path: Path) -> None:
    chat = ScriptedChat(script=[json.dumps({"queries": ["white animal of the sea"]})])
    with running(tmp_path, language_model=LoadedModel(chat)) as (_, found):
        found.http.post("/v1/documents", files={"files": ("bull.md", BOOKS["bull.md"][1].encode())})
        while not (hits := search(found, mode="bm25").json()["hits"]):
            time.sleep(0.02)
        rewritten = search(found, mode="bm25", rewrite="multi_query").json()
    assert rewritten["queries"] == ["whale", "white animal of the sea"]
    assert {hit["chunk"] for hit in rewritten["hits"]} == {hit["chunk"] for hit in hits}
    assert any({"query_0", "query_1"} <= hit["why"].keys() for hit in rewritten["hits"])
    assert rewritten["timings_ms"]["rewrite"] > 0
