"""Records a run that takes longer than a run may unasked, as it comes about: in real time, some 22 minutes.

    python -m tests.integration.slack.record_twenty_minutes

A real service answers a question in Slack's double. Its model takes a minute for each step, the run meets its limit of
15 minutes, and somebody lets it go on a minute later. What the run logged is written beside this file, for the test
that shows its thread minute by minute; what the thread showed is printed.
"""

import json
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from api.admission.services import Services
from api.build.language_model import RemoteLanguageModel
from api.slack.replies.waiting import GO_ON
from ingest.storage.answers.run_records import Run
from ingest.storage.slack.records import ChannelSettings
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.harbour import HARBOUR, KEEPER
from tests.support.scripted_openai import scripted_openai, wanted_members
from tests.support.service import listening, running
from tests.support.slack_double import BOT_TOKEN, SlackDouble, slack_double
from tests.support.slack_posts import BOT
from tests.support.slack_sender import SECRET, TEAM, Sender

RECORDED = Path(__file__).parent / "twenty_minutes.jsonl"
CHANNEL = "C0LONG"
_PROFILE = ModelProfile("scripted", 16_000, 1_000, writes_code=True, parallel_calls=4)
_STEPS = 19
_ROOT_SECONDS, _CALL_SECONDS, _ROUTE_SECONDS, _DECIDES_AFTER = 60.0, 5.0, 6.0, 60.0
_KINDS = frozenset({"call", "routed", "retrieved", "working", "checking", "paused", "budget"})
_SUBMIT = 'submit("Ada Brandt kept it [1].", ["The keeper of the lighthouse was Ada Brandt."])'


def _reply(request: dict[str, Any]) -> str:
    prompt, members = str(request["messages"][-1]["content"]), wanted_members(request)
    if "strategy" in members:
        time.sleep(_ROUTE_SECONDS)
        return json.dumps({"why": "It fits.", "strategy": "recursive", "queries": []})
    if "verdicts" in members:
        return json.dumps({"verdicts": [{"sentence": 1, "support": "supported", "reason": "Read."}]})
    if prompt.startswith("Part "):
        time.sleep(_CALL_SECONDS)
        return "Nothing here."
    time.sleep(_ROOT_SECONDS)
    done = max((int(each) for each in re.findall(r"STEP (\d+) IS DONE(?!\")", prompt)), default=0)
    if done == _STEPS:
        return f"```python\n{_SUBMIT}\n```"
    look = f"search({KEEPER!r}); " if done < 2 else ""
    asks = (
        f'llm_query_batched([f"Part {done}.{{n}}: " + read(each) for n, each in enumerate(outline()[:{1 + done % 3}])])'
    )
    return f'```python\n{look}{asks}; print("STEP", "{done + 1} IS DONE")\n```'


def _body(kind: str, body: dict[str, Any], documents: dict[str, str]) -> dict[str, Any]:
    """Keep of an event's body what a thread shows of it."""
    if kind == "call":
        spans = {each["document_id"] for each in body.get("spans", ())}
        named = [{"document_id": documents.setdefault(each, chr(97 + len(documents)))} for each in sorted(spans)]
        return {"purpose": body.get("purpose"), **({"spans": named} if named else {})}
    kept = {
        "routed": ("strategy", "estimate"),
        "retrieved": ("passages",),
        "working": ("step", "done", "total"),
        "checking": ("sentences",),
        "paused": ("paused", "resource"),
    }
    return {name: body[name] for name in kept.get(kind, ())}


def _written(services: Services, run: Run, begun: float, paused: Run) -> None:
    documents: dict[str, str] = {}
    lines = []
    for event in services.answers.runs.list_events("default", run.id, limit=1_000):
        if event.kind in _KINDS:
            body = _body(event.kind, dict(event.body), documents)
            if event.kind == "paused":
                body |= {
                    "seconds": round(paused.seconds, 1),
                    "calls": paused.spent.calls,
                    "limits": dict(paused.limits),
                }
            lines.append(json.dumps([round(event.created_at - begun, 1), event.kind, body]))
    RECORDED.write_text("\n".join(lines) + "\n")


def _watched(services: Services, slack: SlackDouble, sender: Sender) -> None:
    thread = slack.says("U0ANN", CHANNEL, f"<@{BOT}> {KEEPER}")
    begun, ts = time.time(), str(thread["event"]["ts"])
    sender.event(thread)
    minute, asked_at, paused = 1, 0.0, None
    while not any(each.is_whole for each in slack.replies(CHANNEL)):
        time.sleep(0.5)
        if time.time() - begun > 60 * minute + 5:
            sys.stdout.write(f"After {minute} min\n{slack.shown(CHANNEL, ts)}\n")
            sys.stdout.flush()
            minute += 1
        for each in slack.replies(CHANNEL):
            if each.decisions and paused is None:
                (paused,) = services.answers.runs.list_runs("default")
                asked_at = time.time()
            elif each.decisions and asked_at and time.time() - asked_at > _DECIDES_AFTER:
                sender.press("U0BOB", GO_ON, each.decisions[GO_ON], CHANNEL)
                asked_at = 0.0
    sys.stdout.write(f"Then\n{slack.shown(CHANNEL, ts)}\n")
    assert paused is not None
    (run,) = services.answers.runs.list_runs("default")
    _written(services, run, begun, paused)


def main() -> None:
    with scripted_openai(_reply, window_tokens=16_000) as server, slack_double() as slack:
        for user in ("U0ANN", "U0BOB"):
            slack.person(user, f"{user.casefold()}@harbour.example")
        slack.channel(CHANNEL, "U0ANN", "U0BOB")
        settings = {"slack_signing_secret": SECRET, "slack_bot_token": BOT_TOKEN, "slack_api_url": slack.url}
        model = RemoteLanguageModel(server.url, ChatModel(build_remote_chat_model(server.url, _PROFILE), _PROFILE))
        with (
            tempfile.TemporaryDirectory(prefix="leadline-slack-") as folder,
            running(Path(folder) / "home", language_model=model, **settings) as (services, _),
            listening(services) as (url, key),
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http,
        ):
            for name in ("harbour.md", "keepers.md"):
                content = HARBOUR + name.encode()
                http.post("/v1/documents", params={"name": name}, content=content).raise_for_status()
            wait_until(lambda: http.get("/v1/status").json()["documents"] == {"ready": 2}, what="both are ready")
            wait_until(lambda: services.slack.store.find_workspace(TEAM) is not None, what="Slack is connected")
            workspace = services.slack.store.find_workspace(TEAM)
            assert workspace is not None
            services.slack.store.set_channel_settings(
                workspace, CHANNEL, ChannelSettings(strategy="recursive"), "U0ANN"
            )
            _watched(services, slack, Sender(url))


if __name__ == "__main__":
    main()
