"""One text in fifteen formats, each in a collection of its own: the same question has the same answer and quote."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from api.build.language_model import RemoteLanguageModel
from api.client import Client
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.one_text import FACT, FORMATS, PLACES, QUESTION
from tests.support.scripted_openai import scripted_openai, wanted_members
from tests.support.service import listening, running


def _reply(request: dict[str, Any]) -> str:
    """What a model that reads without error replies: it quotes the fact from the passage that has it."""
    members = wanted_members(request)
    if "strategy" in members:
        return json.dumps({"why": "It fits.", "strategy": "direct", "queries": []})
    if "verdicts" in members:
        return json.dumps({"verdicts": [{"sentence": 1, "support": "supported", "reason": "Read."}]})
    prompt = str(request["messages"][-1]["content"])
    before = prompt[: prompt.index(FACT)]
    number = re.findall(r"^BEGIN passage (\d+)", before, re.MULTILINE)[-1]
    return f'It is 168 steps [{number}].\n<support answered="yes">\n[{number}] "{FACT}"\n</support>'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    profile = ModelProfile("scripted", 32_000, 4_000)
    with scripted_openai(_reply, window_tokens=32_000) as server:
        model = RemoteLanguageModel(server.url, ChatModel(build_remote_chat_model(server.url, profile), profile))
        with (
            running(tmp_path_factory.mktemp("home"), language_model=model) as (services, _),
            listening(services) as (url, key),
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
        ):
            for ending, made in FORMATS.items():
                where = {"name": f"lights.{ending}", "collection": ending}
                http.post("/v1/documents", params=where, content=made()).raise_for_status()
            asking = Client(http=http)
            wait_until(
                lambda: asking.get("/v1/status")["documents"] == {"ready": len(FORMATS)},
                what="all are ready",
            )
            yield asking


@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_answer_and_the_same_quote_come_from_each_format(client: Client, ending: str) -> None:
    answer = client.http.post("/v1/answers", json={"question": QUESTION, "collections": [ending]}).json()
    assert (answer["status"], answer["text"]) == ("answered", "It is 168 steps [1].")
    (cited,) = answer["citations"]
    assert (cited["quote"], cited["verified"]) == (FACT, True)
    span = {"start": cited["start"], "end": cited["end"]}
    assert client.http.get(f"/v1/documents/{cited['document_id']}/content", params=span).text == FACT
    assert cited["place"] == PLACES.get(ending, "")
