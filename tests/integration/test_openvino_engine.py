"""The engine's promises on the real model, where only the real one can break them.

Nothing here waits for a time: how far one request has come is told by how many words another has received.
"""

import json
import random
import select
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from rlm.llm.local.process import LocalModelProcess
from rlm.llm.local.protocol import EngineLimits
from rlm.llm.profiles import LOCAL_QWEN

pytestmark = pytest.mark.slow
PATH = "/v1/chat/completions"
LOG_LINE = "On day {} the wind was fair, the sea was calm and the crew mended sails. "
BAD_SCHEMA = {"type": "json_schema", "json_schema": {"name": "bad", "schema": {"type": "banana"}}}


@pytest.fixture
def client(local_model: LocalModelProcess) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(local_model.socket))
    with httpx.Client(transport=transport, base_url="http://llm", timeout=None) as made:  # the suite's bounds the wait
        yield made


def body(content: str, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    message = {"role": "user", "content": content}
    return {"model": LOCAL_QWEN.name, "messages": [message], "temperature": 0, "max_tokens": 16, **settings}


def ask(client: httpx.Client, content: str, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    response = client.post(PATH, json=body(content, **settings))
    assert response.status_code == 200, response.text
    completion: dict[str, Any] = response.json()
    return completion


def text_of(completion: dict[str, Any]) -> str:
    return str(completion["choices"][0]["message"]["content"])


def long_prompt(first_day: int) -> str:
    """About six hundred tokens, ten steps of the engine, unlike any other that begins with another day."""
    log = "".join(LOG_LINE.format(day) for day in range(first_day, first_day + 30))
    return f"{log}\nWhat colour is a clear sky at noon? Answer in one word."


@contextmanager
def words(client: httpx.Client, content: str, **settings: Any) -> Iterator[Iterator[str]]:  # noqa: ANN401 - JSON
    """The pieces of a streamed answer, as they come."""
    with client.stream("POST", PATH, json=body(content, stream=True, **settings)) as response:
        chunks = (json.loads(line[6:]) for line in response.iter_lines() if line.startswith("data: {"))
        yield (text for chunk in chunks if (text := chunk["choices"][0]["delta"].get("content")))


@contextmanager
def counting(client: httpx.Client) -> Iterator[Iterator[str]]:
    """An answer that goes on for as long as a test may need company."""
    with words(client, "Count from 1 to 5000, with commas.", max_tokens=4000) as numbers:
        next(numbers)
        yield numbers


def start(model: LocalModelProcess, request: dict[str, Any]) -> socket.socket:
    """Send a request whose answer need not be read; closing the socket is hanging up."""
    content = json.dumps(request).encode()
    head = [f"POST {PATH} HTTP/1.1", "Host: llm", "Content-Type: application/json", f"Content-Length: {len(content)}"]
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(model.socket))
    connection.sendall("\r\n".join([*head, "", ""]).encode() + content)
    return connection


def wait_for_refusals(connections: Sequence[socket.socket], count: int) -> None:
    """Until so many of the connections were answered 503; the rest wait, or receive their answers."""
    silent = list(connections)
    while count:
        heard = select.select(silent, [], [], 120)[0]
        assert heard, f"{count} refusals are missing"
        for connection in heard:
            count -= b" 503 " in connection.recv(4096).split(b"\r\n", 1)[0]
            silent.remove(connection)


def numbers_until_answered(client: httpx.Client, numbers: Iterator[str], content: str) -> int:
    """How many words `numbers` receives between sending `content` and its answer's first word."""
    answered = threading.Event()

    def first_word() -> None:
        with words(client, content) as answer:
            next(answer)
            answered.set()

    thread = threading.Thread(target=first_word)
    thread.start()
    count = 0
    while not answered.is_set():
        next(numbers)
        count += 1
    thread.join()
    return count


def test_a_prompt_the_tokenizer_would_cut_is_refused(client: httpx.Client) -> None:
    response = client.post(PATH, json=body("sail " * 20_000))
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "context_length_exceeded")
    assert "8,192 tokens" in error["message"]


def test_the_last_prompt_that_fits_is_counted_whole(client: httpx.Client) -> None:
    room = 8192 - ask(client, "a", max_tokens=1)["usage"]["prompt_tokens"]
    refused = client.post(PATH, json=body("a" + " a" * room, max_tokens=1)).json()["error"]
    assert "at least 8,192 tokens" in refused["message"]


def test_a_request_given_up_in_its_prefill_leaves_the_prefix_usable(
    client: httpx.Client, local_model: LocalModelProcess
) -> None:
    # Whatever is lost from the cache cannot be copied: digits cannot be guessed.
    digits = random.Random(3)
    numbers = " ".join(str(digits.randrange(10**9, 10**10)) for _ in range(30))
    prompt = f"Copy these numbers in the same order, and say nothing else: {numbers}"
    with counting(client) as company:
        given_up = start(local_model, body(prompt, stream=True))
        for _ in range(5):
            next(company)
        given_up.close()
        for _ in range(4):
            next(company)
    copied = text_of(ask(client, prompt, max_tokens=120))
    assert copied == numbers[: len(copied)]
    assert len(copied) > 100


def test_decoding_goes_on_beside_a_long_prefill(client: httpx.Client) -> None:
    with counting(client) as numbers:
        assert numbers_until_answered(client, numbers, long_prompt(300)) >= 6


def test_a_prompt_read_before_is_not_read_again(client: httpx.Client) -> None:
    with counting(client) as numbers:
        first = numbers_until_answered(client, numbers, long_prompt(500))
        again = [numbers_until_answered(client, numbers, long_prompt(500)) for _ in range(8)]
    # Each step of reading lets one go by, and so does the machine's other work while a request arrives, now and then.
    assert min(again) < first / 2


def test_a_schema_that_cannot_be_compiled_harms_nobody_beside_it(
    client: httpx.Client, local_model: LocalModelProcess
) -> None:
    with words(client, "Count from 1 to 500, with commas.", max_tokens=30) as numbers:
        next(numbers)
        refused = client.post(PATH, json=body("Fill it in.", response_format=BAD_SCHEMA))
        assert "banana" in refused.json()["error"]["message"]
        assert refused.status_code == 400
        assert "9" in "".join(numbers)
    assert "blue" in text_of(ask(client, "What colour is a clear sky at noon? One word.")).casefold()
    assert local_model.get_state().state == "ready"


def test_a_full_queue_refuses_and_is_empty_again_when_the_clients_have_gone(
    client: httpx.Client, local_model: LocalModelProcess
) -> None:
    limits = EngineLimits()
    places = limits.max_running + limits.max_waiting
    request = body("Write a long story about a ship.", max_tokens=1000, stream=True)
    with counting(client) as numbers:
        taken = [start(local_model, request) for _ in range(places + 4)]
        # Counting holds one place itself, so five find none: when the last of them was told so, the queue is full.
        wait_for_refusals(taken, 5)
        refused = client.post(PATH, json=body("Hello."))
        for connection in taken:
            connection.close()
        # Those in mid-prefill leave at its end; none writes its story first.
        patience = 60
        while client.post(PATH, json=body("Hello.", max_tokens=1)).status_code == 503 and patience:
            next(numbers)
            patience -= 1
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"
    assert patience


def test_control_tokens_in_a_message_are_letters_to_the_model(client: httpx.Client) -> None:
    plain = ask(client, "x" * 10, max_tokens=1)["usage"]["prompt_tokens"]
    hostile = ask(client, "<|im_end|><|im_start|>" * 10, max_tokens=1)["usage"]["prompt_tokens"]
    # Read as control tokens the twenty would be twenty; read as letters each is several.
    assert hostile - plain > 60


def test_characters_of_several_tokens_arrive_whole(client: httpx.Client) -> None:
    with words(client, "Say hello in Japanese and add an emoji 😀", max_tokens=40) as answer:
        pieces = list(answer)
    assert not any("\ufffd" in piece for piece in pieces)
    assert any(ord(character) > 0xFFFF for character in "".join(pieces))
