"""A service with two documents and a model that makes no mistake, for tests of whole answers over HTTP."""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from api.admission.services import Services
from api.build.language_model import RemoteLanguageModel
from api.client import Client
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel, SubCall, SubReply
from rlm.llm.profiles import ModelProfile
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.support.cluster import wait_until
from tests.support.form_filler import fill_form
from tests.support.scripted_openai import ScriptedOpenAI, scripted_openai, wanted_members
from tests.support.service import listening, running

HARBOUR = b"# Harbour\n\nThe keeper of the lighthouse was Ada Brandt. She lit the lamp for the first time in 1871.\n"
ORDERS = b"""id,customer,note
1,Ann,"The parcel came two weeks late."
2,Bob,"Lovely lamp, thank you."
3,Ann,"Late again, and nobody says why."
4,Cy,"Please send an invoice."
"""
KEEPER, LAMP = "Who kept the lighthouse?", "When did Ada Brandt first light the lamp?"
COUNT = "How many orders came late?"
PLAN = {
    "semantic_columns": [
        {
            "table": "orders",
            "name": "is_late",
            "instruction": "Does the note complain about lateness?",
            "type": "boolean",
            "labels": [],
            "where": "",
        }
    ],
    "language": "en",
    "sql": "SELECT count(*) FILTER (WHERE is_late) AS late, count(*) AS orders FROM orders",
    "rows_sql": "SELECT _row FROM orders WHERE is_late",
    "answer": "{late} of the {orders} orders came late.",
}


class Model:
    """A model that makes no mistake; it knows what it is asked by the members of the JSON that it is to reply with.

    `support` is its verdict as the judge of a sentence, and `wrapped` what it writes before each answer from a passage.
    `form` puts an answer into the form that a program requests. What is asked besides `KEEPER`, `LAMP` and `COUNT` is
    not in its documents. Cleared, `pause` holds answers back, and `judging` verdicts.
    """

    def __init__(self) -> None:
        self.support = "supported"
        self.wrapped = ""
        self.form: Callable[[dict[str, Any]], str] = fill_form
        self.pause, self.judging = threading.Event(), threading.Event()
        self.go_on()

    def go_on(self) -> None:
        """Hold nothing back."""
        self.pause.set()
        self.judging.set()

    def __call__(self, request: dict[str, Any]) -> str:
        members = wanted_members(request)
        prompt = str(request["messages"][-1]["content"])
        if "question" in members:
            return json.dumps({"question": LAMP})
        if "strategy" in members:
            strategy = "table" if COUNT in prompt else "direct"
            return json.dumps({"why": "It fits.", "strategy": strategy, "queries": []})
        if "verdicts" in members:
            self.judging.wait(600)
            return json.dumps({"verdicts": [{"sentence": 1, "support": self.support, "reason": "Read."}]})
        if "reason" in members and {"value", "call", "addition"} & set(members):
            return self.form(request)
        if "sql" in members:
            return json.dumps(PLAN)
        if members:
            return _labelled(prompt)
        self.pause.wait(600)
        return self.wrapped + _written(prompt)


def _labelled(prompt: str) -> str:
    """Yes or no for each record."""
    (reply,) = RuleSubCalls(lambda text: "yes" if "late" in text.casefold() else "no").run([SubCall("", prompt, 100)])
    assert isinstance(reply, SubReply)
    return reply.text


def _written(prompt: str) -> str:
    """An answer from the passage about the lighthouse, with a quotation."""
    if KEEPER not in prompt and LAMP not in prompt:
        return 'The documents do not say.\n<support answered="no">\n</support>'
    number = re.findall(r"^BEGIN passage (\d+)", prompt[: prompt.index("Ada Brandt")], re.MULTILINE)[-1]
    if LAMP in prompt:
        text, quote = "She lit it in 1871", "lit the lamp for the first time in 1871"
    else:
        text, quote = "Ada Brandt kept it", "keeper of the lighthouse was Ada Brandt"
    return f'{text} [{number}].\n<support answered="yes">\n[{number}] "{quote}"\n</support>'


@dataclass(frozen=True)
class Harbour:
    """The running service: its address, a key of the tenant with both documents, and a client with that key; its parts,
    and its model's server."""

    url: str
    key: str
    client: Client
    services: Services
    model: ScriptedOpenAI


@contextmanager
def harbour(home: Path, model: Model, **settings: object) -> Iterator[Harbour]:
    """A service on a TCP port with both documents ready."""
    profile = ModelProfile("scripted", 32_000, 4_000)
    with scripted_openai(model, window_tokens=32_000) as server:
        language_model = RemoteLanguageModel(
            server.url, ChatModel(build_remote_chat_model(server.url, profile), profile)
        )
        with (
            running(home, language_model=language_model, **settings) as (services, _),
            listening(services) as (url, key),
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120) as http,
        ):
            for name, content in (("harbour.md", HARBOUR), ("orders.csv", ORDERS)):
                http.post("/v1/documents", params={"name": name}, content=content).raise_for_status()
            made = Client(http=http)
            wait_until(lambda: made.get("/v1/status")["documents"] == {"ready": 2}, what="both are ready")
            yield Harbour(url, key, made, services, server)
