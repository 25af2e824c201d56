"""The parts of vLLM's protocol that Leadline relies on, asked of a real server."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import httpx
import pytest
from pydantic import SecretStr

from api.sizing.checkpoint import load_checkpoint
from rlm.llm.budgets import Budget, Limits
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.completion import compute_cache_salt
from rlm.llm.port import SubCall, SubCalls, SubReply, request_reply
from rlm.llm.profiles import LOCAL_QWEN
from rlm.llm.scheduler import SubCallScheduler
from rlm.llm.structured_output import build_response_format
from tests.support.cluster import wait_until
from tests.support.vllm_server import KEY, MODEL, VllmServer, checkpoint
from tests.unit.rlm.test_schemas import SCHEMAS

PROFILE = replace(LOCAL_QWEN, context_tokens=4096, max_output_tokens=512, cache_salt=True, priority=True)
SYSTEM = "You answer in one short sentence."
STORY = " ".join(
    f"Ship {number} left Genoa in {1500 + number} with {3 * number} barrels of wine." for number in range(20)
)
MOST = 1500
# As deploy/vllm/profiles/cpu.yaml has them.
PLACES, QUEUED = 4, 2
GOES_ON = {"max_tokens": MOST, "ignore_eos": True, "stream": True}


@pytest.fixture
def calls(chat_server: VllmServer) -> Iterator[SubCalls]:
    chat = build_remote_chat_model(chat_server.url, PROFILE, api_key=SecretStr(KEY))
    scheduler = SubCallScheduler()
    try:
        yield scheduler.bind_sub_calls(chat, PROFILE, tenant_id="tests", budget=Budget(Limits()))
    finally:
        scheduler.close()


def asked(content: str, **more: object) -> dict[str, object]:
    return {"model": MODEL, "messages": [{"role": "user", "content": content}], "temperature": 0, **more}


def post(server: VllmServer, body: dict[str, object]) -> httpx.Response:
    return httpx.post(f"{server.url}/chat/completions", headers=server.headers, json=body, timeout=300)


def stream(server: VllmServer, stack: ExitStack, content: str) -> Iterator[str]:
    response = stack.enter_context(
        httpx.stream(
            "POST",
            f"{server.url}/chat/completions",
            headers=server.headers,
            json=asked(content, **GOES_ON),
            timeout=300,
        )
    )
    response.raise_for_status()
    return response.iter_lines()


def idle(server: VllmServer) -> bool:
    return server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting") == 0


def wait_idle(server: VllmServer) -> None:
    wait_until(lambda: idle(server), seconds=60, what="the server works on nothing")


def wait_count(server: VllmServer, metric: str, count: int) -> None:
    wait_until(lambda: server.metric(metric) == count, seconds=120, what=f"{metric} is {count}")


@contextmanager
def filled(server: VllmServer) -> Iterator[list[Iterator[str]]]:
    """Take all places of the server and of its queue, one after the other; yield the streams that are written."""
    wait_idle(server)
    with ThreadPoolExecutor(QUEUED) as pool, ExitStack() as stack:
        taken = [stream(server, stack, f"Count from {number}.") for number in range(PLACES)]
        assert all(next(lines).startswith("data: ") for lines in taken)
        for number in range(1, QUEUED + 1):
            pool.submit(stream, server, stack, f"Count down from {number}.")
            wait_count(server, "vllm:num_requests_waiting", number)
        yield taken


def test_a_reply_comes_in_pieces_with_its_usage(calls: SubCalls) -> None:
    *pieces, whole = calls.stream(SubCall(SYSTEM, "Say that the whale is white.", 30))
    assert isinstance(whole, SubReply)
    assert len(pieces) > 1
    assert "".join(str(piece) for piece in pieces) == whole.text
    assert "whale" in whole.text.lower()
    assert whole.usage.prompt_tokens > 10
    assert whole.usage.completion_tokens >= len(pieces)


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_server_takes_each_schema_that_is_sent(name: str, chat_server: VllmServer) -> None:
    schema = SCHEMAS[name]
    assert schema is not None
    response = post(chat_server, asked("Reply.", max_tokens=6, response_format=build_response_format(schema)))
    assert response.status_code == 200, response.text
    assert response.json()["choices"][0]["message"]["content"].startswith("{")


def test_a_reply_follows_its_schema_and_has_no_white_space(calls: SubCalls) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["white", "black"]}, "is_a_fish": {"type": "boolean"}},
        "required": ["colour", "is_a_fish"],
        "additionalProperties": False,
    }
    reply = request_reply(calls, SubCall("You read carefully.", "The whale is white. It is no fish.", 40, schema))
    assert json.loads(reply.text)["colour"] == "white"
    assert "\n" not in reply.text.strip()


def test_a_client_that_goes_away_ends_the_work_for_it(chat_server: VllmServer) -> None:
    wait_idle(chat_server)
    before = chat_server.metric("vllm:generation_tokens_total")
    with ExitStack() as stack:
        lines = stream(chat_server, stack, "Count from one to a thousand in words.")
        assert next(lines).startswith("data: ")
        assert chat_server.metric("vllm:num_requests_running") == 1
    wait_idle(chat_server)
    assert chat_server.metric("vllm:generation_tokens_total") - before < MOST


def test_the_beginning_of_a_prompt_is_computed_once_for_each_salt(chat_server: VllmServer) -> None:
    def ask(question: str, tenant: str) -> int:
        body = asked(f"{STORY}\n\n{question}", max_tokens=1, cache_salt=compute_cache_salt(tenant))
        usage = post(chat_server, body).json()["usage"]
        return int((usage["prompt_tokens_details"] or {}).get("cached_tokens") or 0)

    hits = chat_server.metric("vllm:prefix_cache_hits_total")
    assert ask("When did ship 3 leave?", "one tenant") == 0
    found = ask("When did ship 4 leave?", "one tenant")
    assert found >= 128
    assert chat_server.metric("vllm:prefix_cache_hits_total") - hits == found
    assert ask("When did ship 3 leave?", "another tenant") == 0


def test_a_full_server_refuses_with_a_time_to_come_again_and_what_it_took_goes_on(chat_server: VllmServer) -> None:
    with filled(chat_server) as taken:
        refused = post(chat_server, asked("One more.", max_tokens=1))
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert chat_server.metric("vllm:admission_rejections_total", reason="max_num_queued_reqs") >= 1
        assert all(next(lines) is not None for lines in taken)
    wait_idle(chat_server)


def test_a_call_of_higher_priority_overtakes_those_that_wait(chat_server: VllmServer) -> None:
    wait_idle(chat_server)
    ended: list[str] = []

    def ask(name: str, priority: int) -> None:
        post(chat_server, asked(f"Count to a hundred, {name}.", max_tokens=12, ignore_eos=True, priority=priority))
        ended.append(name)

    with ThreadPoolExecutor(6) as pool, ExitStack() as stack:
        running = [stream(chat_server, stack, f"Count from {number}.") for number in range(PLACES - 1)]
        assert all(next(lines).startswith("data: ") for lines in running)
        last = pool.submit(post, chat_server, asked("Count.", max_tokens=60, ignore_eos=True))
        wait_count(chat_server, "vllm:num_requests_running", PLACES)
        late = pool.submit(ask, "late", 9)
        wait_count(chat_server, "vllm:num_requests_waiting", 1)
        early = pool.submit(ask, "early", 0)
        assert last.result(timeout=300).status_code == 200
        early.result(timeout=300)
        late.result(timeout=300)
    assert ended == ["early", "late"]
    wait_idle(chat_server)


@pytest.mark.parametrize(
    ("method", "path", "key", "status"),
    [
        ("GET", "/health", False, 200),
        ("GET", "/v1/models", False, 401),
        ("GET", "/v1/models", True, 200),
        ("GET", "/metrics", False, 401),
        ("GET", "/version", True, 200),
        *(
            (method, path, True, 404)
            for method, path in (
                ("POST", "/tokenize"),
                ("POST", "/v1/completions"),
                ("POST", "/v1/responses"),
                ("GET", "/docs"),
                ("GET", "/load"),
                ("POST", "/inference/v1/generate"),
                ("POST", "//v1/completions"),
                ("GET", "/metrics/"),
            )
        ),
    ],
)
def test_only_the_paths_that_are_used_are_open(
    method: str, path: str, key: bool, status: int, chat_server: VllmServer
) -> None:
    headers = chat_server.headers if key else {}
    assert httpx.request(method, f"{chat_server.root}{path}", headers=headers, json={}).status_code == status


def test_the_tokens_that_fit_are_those_that_were_computed(chat_server: VllmServer) -> None:
    told = chat_server.labels("vllm:cache_config_info")
    block = int(told["block_size"])
    computed = 1024**3 / load_checkpoint(checkpoint()).cache.compute_sequence_size(block)
    assert int(told["num_gpu_blocks"]) == int(computed)
