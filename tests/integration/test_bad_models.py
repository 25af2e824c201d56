"""Every way in which a model server can fail, through the whole service: a typed error, or an answer marked for what it
is, by the deadline, and no request left open."""

import gc
from collections.abc import Iterator

import httpx
import pytest

from api.build.language_model import RemoteLanguageModel
from api.cli import doctor
from api.client import Client
from api.settings.settings import ServedModel
from rlm.errors import LanguageModelTimeoutError
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.events import streamed_answer
from tests.support.labelled_records import document, labelled_records
from tests.support.misbehaving_openai import (
    Behaviour,
    MisbehavingOpenAI,
    broken_events,
    cuts,
    hangs,
    hangs_after_a_word,
    misbehaving_openai,
    not_a_stream,
    other_events,
    refuses,
    says,
    wrong_utf8,
)
from tests.support.service import running

STRATEGIES = ("direct", "recursive")
PROFILE = ModelProfile("scripted", 32_000, 2_000)
SECONDS = 0.7
# The checks that say that something was found for a sentence.
GOOD_CHECKS = {"verified", "quoted", "computed"}

# What the server does, and the codes of the errors that may come of it; none where it does answer.
FAULTS: dict[str, tuple[Behaviour, set[str]]] = {
    "wrong key": (refuses(401), {"language_model_refused"}),
    "unknown model": (refuses(404), {"language_model_refused"}),
    "too busy": (refuses(429), {"language_model_unavailable"}),
    "away": (refuses(503), {"language_model_unavailable"}),
    "hangs": (hangs, set()),
    "hangs after a word": (hangs_after_a_word, set()),
    "cuts the stream": (cuts, {"language_model_unavailable", "language_model_output"}),
    "a page of HTML": (not_a_stream, {"language_model_unavailable", "language_model_output"}),
    "half a chunk": (broken_events, {"language_model_output"}),
    "JSON of something else": (other_events, {"language_model_output"}),
    "no UTF-8": (wrong_utf8, {"language_model_output"}),
    "nonsense": (says("Colourless green ideas sleep furiously."), {"language_model_output"}),
    "nothing": (says(""), {"language_model_output"}),
    "half a code fence": (says("Let me look.\n```python\nprint(1)"), {"language_model_output"}),
    "ten blocks of code": (says("```python\nprint(1)\n```\n" * 10), {"language_model_output"}),
    "a wrong tool": (says("```python\ngrep()\nsubmit(1, 2, 3, 4)\n```"), {"language_model_output"}),
    "a quotation of nothing": (says("```python\nsubmit('yes', ['not there'])\n```"), {"language_model_output"}),
    "other JSON": (says('{"labels": 7}'), {"language_model_output"}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as made:
        yield made


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, server: MisbehavingOpenAI) -> Iterator[Client]:
    chat = build_remote_chat_model(server.url, PROFILE)
    model = RemoteLanguageModel(server.url, ChatModel(chat, PROFILE))
    with running(tmp_path_factory.mktemp("home"), language_model=model) as (_, made):
        text = document(labelled_records(600)).encode()
        found = made.http.post("/v1/documents", params={"name": "records.txt"}, content=text).json()["id"]
        wait_until(lambda: made.get(f"/v1/documents/{found}")["state"] == "ready", what="it is ready")
        yield made


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What is left to the garbage collector is collected here, and not in somebody else's test."""
    yield
    gc.collect()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_it_ends_in_a_typed_error_or_an_answer_marked_for_what_it_is(
    client: Client, server: MisbehavingOpenAI, strategy: str, fault: str
) -> None:
    behaviour, codes = FAULTS[fault]
    server.behaviours = [behaviour]
    budget = {"seconds": SECONDS, "calls": 200}
    question = f"Trace how the trees fare across the records, {fault}."  # what was answered to the same is kept
    response = client.http.post(
        "/v1/answers", json={"question": question, "strategy": strategy, "budget": budget}, timeout=60
    )
    body = response.json()
    if response.status_code == httpx.codes.OK:
        assert not GOOD_CHECKS & {each["check"] for each in body["sentences"]}
    else:
        assert body["code"] in codes | {"budget_exhausted"}
        assert body["hint"]
    assert server.wait_until(lambda state: state.under_way == 0), "a request was left open"


def test_what_a_model_writes_and_what_comes_of_it_is_streamed(client: Client, server: MisbehavingOpenAI) -> None:
    server.behaviours = [says("```python\nn = len(records())\nprint(n)\nsubmit(n, computed=True)\n```")]
    events = streamed_answer(client, question="Count the records.", strategy="recursive")
    (cell,) = [data for name, data in events if name == "cell"]
    assert cell["code"] == "n = len(records())\nprint(n)\nsubmit(n, computed=True)\n"
    counted = cell["output"].split()[0]
    assert counted.isdecimal()
    assert [data["estimate"] for name, data in events if name == "routed"] != [""]
    assert cell["title"] == "Writes the answer · Cuts the text into records"
    assert cell["coded_title"]["code"] == "step_and_step"
    assert events[-1][0] == "completed"
    assert events[-1][1]["text"].startswith(counted)


def test_doctor_advises_to_look_at_a_server_that_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_SCHEMA_SECONDS", SECONDS)
    with misbehaving_openai() as server:
        server.behaviours = [hangs]
        served = ServedModel((server.url,), "scripted")
        (found,) = doctor._check_schema_support(served, doctor._ModelServers((0,), None), PROFILE, None)
    assert "Check the server's load and its log." in found.advice
    assert found.advice != LanguageModelTimeoutError.default_hint
