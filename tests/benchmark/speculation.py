"""Guessing by n-grams on cited answers, beside none, in one run: `python -m tests.benchmark.speculation`.

Needs what `make test-vllm` makes: LEADLINE_VLLM_PYTHON and LEADLINE_VLLM_CHECKPOINT.
"""

import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import typer

from api.build.language_model import RemoteLanguageModel
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import LOCAL_QWEN
from tests.benchmark.figures import AsJson, print_rows
from tests.support.cluster import wait_until
from tests.support.scripted_openai import scripted_openai
from tests.support.service import running
from tests.support.vllm_server import MODEL, VllmServer, checkpoint, vllm_server

_DOCS = Path(__file__).parents[2] / "docs"
_PROFILE = replace(LOCAL_QWEN, name=MODEL, reading_tokens=700)
_NGRAMS = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_min": 2, "prompt_lookup_max": 5}
# About the project's own documentation, which is all that the service has in this measurement.
QUESTIONS = (
    "How are words of documents in other languages stemmed?",
    "What does the log of audit entries say, and how is it verified?",
    "What happens to a conversation after it was last used?",
    "Which judgements of searches are read, and in which formats?",
    "How is a webhook's message signed?",
)


@dataclass
class Written:
    """Tokens that a server wrote, the seconds from the first to the last, and its processors' seconds in all."""

    tokens: int = 0
    seconds: float = 0.0
    processor_seconds: float = 0.0
    texts: list[str] = field(default_factory=list)


def speculation(
    questions: Annotated[int, typer.Option(help="How many questions.", min=1, max=len(QUESTIONS))] = 3,
    as_json: AsJson = False,
) -> None:
    """Send the same prompts of cited answers to a server with n-gram speculation and to one without, in turns."""
    prompts = cited_prompts(QUESTIONS[:questions])
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        servers: dict[str, VllmServer] = {}
        for name, options in (("none", ()), ("ngram", ("--speculative-config", json.dumps(_NGRAMS)))):
            (own := Path(folder) / name).mkdir()
            server = vllm_server(own, "cpu.yaml", "--model", str(checkpoint()), *options)
            servers[name] = stack.enter_context(server)
        written = {name: Written() for name in servers}
        for number, prompt in enumerate(prompts):
            order = list(servers) if number % 2 == 0 else list(servers)[::-1]
            for name in order:
                _write(servers[name], prompt, written[name])
        rows = [_row(name, written[name], servers[name]) for name in servers]
    same = sum(a == b for a, b in zip(written["none"].texts, written["ngram"].texts, strict=True))
    rows[1]["same_texts"] = f"{same} of {len(prompts)}"
    for figure in ("tokens_a_second", "tokens_a_processor_second"):
        rows[1][f"{figure}_ratio"] = round(rows[1][figure] / rows[0][figure], 2)
    print_rows(rows, as_json)


def cited_prompts(questions: Sequence[str]) -> list[dict[str, Any]]:
    """Return the requests for direct answers to these, as the service sends them over the project's documentation."""
    with tempfile.TemporaryDirectory() as home, scripted_openai() as model:
        chat = ChatModel(build_remote_chat_model(model.url, _PROFILE), _PROFILE)
        with running(Path(home), language_model=RemoteLanguageModel(model.url, chat), check="off") as (_, client):
            for path in sorted(_DOCS.glob("*.md")):
                client.http.post("/v1/documents", params={"name": path.name}, content=path.read_bytes())

            def ready() -> bool:
                return all(each["state"] == "ready" for each in client.listed("/v1/documents", "documents"))

            wait_until(ready, seconds=300, what="the documents are ready")
            asked = []
            for question in questions:
                model.requests.clear()
                client.http.post("/v1/answers", json={"question": question, "strategy": "direct"}, timeout=300)
                asked.append(next(each for each in model.requests if "messages" in each))
    return asked


def _write(server: VllmServer, prompt: dict[str, Any], written: Written) -> None:
    body = {**prompt, "model": MODEL, "stream": True, "stream_options": {"include_usage": True}, "max_tokens": 120}
    body.pop("max_completion_tokens", None)
    before, first, last, text, tokens = _processor_seconds(server), 0.0, 0.0, "", 0
    with httpx.stream(
        "POST", f"{server.url}/chat/completions", json=body, headers=server.headers, timeout=900
    ) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if not line.startswith("data: {"):
                continue
            event = json.loads(line.removeprefix("data: "))
            if piece := "".join(each["delta"].get("content") or "" for each in event["choices"]):
                text, last = text + piece, time.perf_counter()
                first = first or last
            tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    # Before the first piece the prompt is read.
    written.tokens += max(0, tokens - 1)
    written.seconds += last - first
    written.processor_seconds += _processor_seconds(server) - before
    written.texts.append(text)


def _processor_seconds(server: VllmServer) -> float:
    """Return what the server's processes have used; they are the children of this one that carry its port."""
    port = server.root.rpartition(":")[2]
    roots = [each for each in psutil.Process().children() if port in each.cmdline()]
    family = [each for root in roots for each in (root, *root.children(recursive=True))]
    return sum(sum(each.cpu_times()[:2]) for each in family)


def _row(name: str, written: Written, server: VllmServer) -> dict[str, Any]:
    row: dict[str, Any] = {
        "speculation": name,
        "tokens": written.tokens,
        "tokens_a_second": round(written.tokens / written.seconds, 2),
        # With the reading of the prompts, which is the same for both.
        "tokens_a_processor_second": round(written.tokens / written.processor_seconds, 2),
    }
    if name != "none":
        drafts, guessed, accepted = (
            server.metric(f"vllm:spec_decode_num_{what}_total")
            for what in ("drafts", "draft_tokens", "accepted_tokens")
        )
        row |= {
            "drafts": int(drafts),
            "accepted_share": round(accepted / guessed, 3) if guessed else 0.0,
            "tokens_a_draft": round(1 + accepted / drafts, 2) if drafts else 1.0,
        }
    return row


if __name__ == "__main__":
    typer.run(speculation)
