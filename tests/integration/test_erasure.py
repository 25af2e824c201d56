"""A deleted document is gone from everything: catalog, blobs, index, and what answers, runs and models made of it."""

import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from api.build.language_model import RemoteLanguageModel
from api.client import Client
from ingest.storage.answers.redaction import WITHHELD_TEXT
from retrieval.index.bm25 import Bm25Encoder
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.scripted_openai import scripted_openai, wanted_members
from tests.support.service import running

MARK = "quagvoxle"
SECRET = f"# Keeper of {MARK}\n\nThe word that the keeper of the lighthouse said each night was {MARK}.\n".encode()
OPEN = b"# Harbour\n\nAda Brandt lit the lamp of the lighthouse for the first time in 1871.\n"
ORDERS = f"id,customer,note\n1,Ann,late\n2,Bob,{MARK}\n3,Cy,thanks\n".encode()
DIRECT, FOLLOW, TABLE, CODE = "What did the keeper say?", "Say it again?", "What is the second note?", "Go through all."
PLAN = {
    "semantic_columns": [],
    "sql": "SELECT note FROM orders WHERE id = 2",
    "language": "en",
    "rows_sql": "SELECT _row FROM orders WHERE id = 2",
    "answer": "The note is {note}.",
}
CELL = f"""```python
print(grep("{MARK}"))
print(llm_query("Repeat this: " + read(outline()[0])))
submit("The word is {MARK}, as the lamp was lit.")
```"""


def replied(request: dict[str, Any]) -> str:
    """A model that tells everything that it reads, with and without a citation."""
    members, prompt = wanted_members(request), str(request["messages"][-1]["content"])
    if "question" in members:
        return json.dumps({"question": f"What did the keeper say, was it {MARK}?"})
    if "strategy" in members:
        return json.dumps({"why": f"Because of {MARK}.", "strategy": "direct", "queries": [MARK]})
    if "verdicts" in members:
        numbers = sorted(set(map(int, re.findall(r"sentence (\d+)", prompt, re.IGNORECASE)))) or [1]
        verdicts = [{"sentence": number, "support": "supported", "reason": f"It says {MARK}."} for number in numbers]
        return json.dumps({"verdicts": verdicts})
    if "sql" in members:
        return json.dumps(PLAN)
    if prompt.startswith("Repeat this"):
        return prompt
    return CELL if CODE in prompt else _written(prompt)


def _written(prompt: str) -> str:
    said, lit = (_number(prompt, text) for text in ("said each night", "for the first time in 1871"))
    return (
        f"Everybody knows {MARK}. The word was {MARK} [{said}]. The lamp was lit in 1871 [{lit}].\n"
        f'<support answered="yes">\n[{said}] "said each night was {MARK}"\n'
        f'[{lit}] "for the first time in 1871"\n</support>'
    )


def _number(prompt: str, text: str) -> str:
    numbers: list[str] = re.findall(r"^BEGIN passage (\d+)", prompt[: prompt.index(text)], re.MULTILINE)
    return numbers[-1]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    profile = ModelProfile("scripted", 32_000, 4_000)
    with scripted_openai(replied, window_tokens=32_000, keeps_requests=False) as server:
        language_model = RemoteLanguageModel(
            server.url, ChatModel(build_remote_chat_model(server.url, profile), profile)
        )
        with running(tmp_path, language_model=language_model) as (_, client):
            yield client


def uploaded(client: Client) -> dict[str, str]:
    found = {}
    for name, content in ((f"{MARK}.md", SECRET), ("harbour.md", OPEN), ("orders.csv", ORDERS)):
        found[name] = client.http.post("/v1/documents", params={"name": name}, content=content).json()["id"]
    wait_until(lambda: client.get("/v1/status")["documents"] == {"ready": 3}, what="all are ready")
    return found


def ask(client: Client, question: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    answer: dict[str, Any] = client.post("/v1/answers", {"question": question, **more})
    return answer


def ask_in_background(client: Client, question: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    run = ask(client, question, background=True, **more)["id"]
    wait_until(lambda: bool(client.get(f"/v1/runs/{run}")["ended_at"]), what="the run has ended")
    found: dict[str, Any] = client.get(f"/v1/runs/{run}")
    assert found["state"] == "completed", found
    return found


def holding(home: Path, marks: Sequence[bytes] = (MARK.encode(), MARK.encode("utf-16-le"))) -> list[str]:
    """The files of a data folder in which the mark stands, but for the index: its engine's files have headings longer.

    In UTF-8 or in UTF-16.
    """
    found = []
    for path in home.rglob("*"):
        with suppress(FileNotFoundError):  # the service is running
            if path.is_file() and not path.is_relative_to(home / "index"):
                content = path.read_bytes()
                found += [str(path.relative_to(home))] if any(mark in content for mark in marks) else []
    return sorted(found)


def test_nothing_that_stood_only_in_a_deleted_document_is_left_after_answers_runs_and_tables_used_it(
    client: Client, tmp_path: Path
) -> None:
    documents = uploaded(client)
    client.post("/v1/search", {"query": "the keeper of the lighthouse"})
    first = ask(client, DIRECT, conversation="new")
    second = ask(client, FOLLOW, conversation=first["conversation"])
    table = ask(client, TABLE, strategy="table")
    coded = ask(client, CODE, strategy="recursive")
    runs = [
        ask_in_background(client, DIRECT, conversation=first["conversation"]),
        ask_in_background(client, CODE, strategy="recursive"),
        ask_in_background(client, TABLE, strategy="table"),
    ]
    said = [first, second, table, coded, *(run["answer"] for run in runs)]
    assert [MARK in answer["text"] for answer in said] == [True] * 7, [answer["text"] for answer in said]
    assert {"catalog.sqlite", "catalog.sqlite-wal"} & set(holding(tmp_path))
    assert any(name.startswith("blobs") for name in holding(tmp_path))

    receipts = [client.http.delete(f"/v1/documents/{documents[name]}").json() for name in (f"{MARK}.md", "orders.csv")]
    assert [receipt["collected"] for receipt in receipts] == [True, True]
    counts = [[receipt[f"{kind}"] for kind in ("answers_redacted", "runs_redacted")] for receipt in receipts]
    assert all(answers and ran for answers, ran in counts), counts
    assert receipts[0]["replies_removed"] > 0
    assert holding(tmp_path) == []

    kept = client.get(f"/v1/answers/{first['id']}")
    lamp = next(each["number"] for each in first["citations"] if each["document_id"] == documents["harbour.md"])
    assert kept["text"] == f"{WITHHELD_TEXT} The lamp was lit in 1871 [{lamp}]."
    assert [kept["text"][each["start"] : each["end"]] for each in kept["sentences"]] == [
        each["text"] for each in kept["sentences"]
    ]
    assert kept["question"] == DIRECT
    turns = client.get(f"/v1/conversations/{first['conversation']}")["turns"]
    assert [turn["question"] for turn in turns] == [DIRECT, FOLLOW, DIRECT]
    assert client.get(f"/v1/answers/{table['id']}")["text"] == WITHHELD_TEXT
    for run in runs:
        after = client.get(f"/v1/runs/{run['id']}")
        assert (after["question"], after["usage"]) == (run["question"], run["usage"])
        events = client.http.get(f"/v1/runs/{run['id']}/events", headers={"Accept": "application/json"}).text
        assert MARK not in events + json.dumps(after)


def test_the_words_on_the_first_page_of_a_deleted_document_are_not_left_in_a_card(tmp_path: Path) -> None:
    with running(tmp_path) as (_, client):
        documents = uploaded(client)
        cards = load_cards(tmp_path)
        term = Bm25Encoder().encode_document(MARK).indices[0].to_bytes(4, "little")
        marked = {version: card for version, card in cards.items() if term in card}
        assert (len(cards), len(marked)) == (3, 2)
        beginnings = [card[:8] for card in marked.values()]
        assert {"catalog.sqlite", "catalog.sqlite-wal"} & set(holding(tmp_path, beginnings))
        for name in (f"{MARK}.md", "orders.csv"):
            assert client.http.delete(f"/v1/documents/{documents[name]}").json()["collected"]
        assert load_cards(tmp_path).keys() == cards.keys() - marked.keys()
        assert holding(tmp_path, beginnings) == []


def load_cards(home: Path) -> dict[str, bytes]:
    """Load the packed terms of all cards, by version."""
    with closing(sqlite3.connect(home / "catalog.sqlite")) as connection:
        return dict(connection.execute("SELECT version_id, terms FROM cards").fetchall())
