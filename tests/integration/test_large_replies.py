"""Replies of other servers without an end: each client ends them, and says which server and which limit it was."""

import asyncio
import gzip
import time
from collections.abc import Callable, Iterator

import pytest

from api.build.language_model import list_models
from retrieval.encoders.openai_embedder import OpenAIEmbedder
from retrieval.encoders.specs import EncoderSpec
from retrieval.errors import EncoderError, RerankerOutputError
from retrieval.rerank.http_reranker import HttpReranker
from rlm.errors import LanguageModelOutputError, LanguageModelUnavailableError
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.completion import Completion, ThoughtFilter, fill_completion
from rlm.llm.port import SubCall
from rlm.llm.profiles import load_profiles
from tests.support.misbehaving_openai import Behaviour, MisbehavingOpenAI, Request, misbehaving_openai

MIB = 1024**2
MODEL_LIMIT = r"http://127\.0\.0\.1:\d+ exceeds 33,554,432 bytes"
COMPRESSED = r"http://127\.0\.0\.1:\d+ compressed its response \(gzip\)"


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as server:
        yield server


def ask(server: MisbehavingOpenAI, *, schema: bool = False, most_tokens: int = 50) -> Completion:
    async def asked() -> Completion:
        profile = load_profiles(None).get_profile("a-model")
        chat = build_remote_chat_model(server.url, profile)
        call = SubCall("", "Why?", most_tokens, {"type": "object"} if schema else None)
        completion = Completion(ThoughtFilter())
        try:
            await fill_completion(chat, profile, call, completion, salt="", most_tokens=most_tokens)
        finally:
            await chat.aclose()
        return completion

    return asyncio.run(asked())


def sends(blocks: Callable[[], Iterator[bytes]], *, kind: str = "application/json", encoding: str = "") -> Behaviour:
    """A reply without a length, block by block."""

    def behave(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        if encoding:
            request.send_header("Content-Encoding", encoding)
        request.end_headers()
        for block in blocks():
            request.wfile.write(block)

    return behave


def large(head: bytes, tail: bytes, *, mib: int = 40) -> Callable[[], Iterator[bytes]]:
    def blocks() -> Iterator[bytes]:
        yield head
        for _ in range(mib):
            yield b"x" * MIB
        yield tail

    return blocks


def zipped() -> Iterator[bytes]:
    yield gzip.compress(b" " * 2 * MIB)


def test_an_event_without_an_end_is_refused(server: MisbehavingOpenAI) -> None:
    event = large(b'data: {"choices": [{"delta": {"content": "', b'"}}]}\n\n')
    server.behaviours = [sends(event, kind="text/event-stream")]
    with pytest.raises(LanguageModelOutputError, match=MODEL_LIMIT) as refused:
        ask(server)
    assert "127.0.0.1" not in " ".join(refused.value.public_message)  # whoever asks learns no address


@pytest.mark.parametrize("announced", [True, False])
def test_a_whole_reply_that_is_too_large_is_refused(server: MisbehavingOpenAI, announced: bool) -> None:
    def announcing(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(800 * MIB))
        request.end_headers()
        request.silence()

    server.behaviours = [announcing if announced else sends(large(b'{"x": "', b'"}'))]
    with pytest.raises(LanguageModelOutputError, match=MODEL_LIMIT):
        ask(server, schema=True)


@pytest.mark.parametrize("schema", [True, False])
def test_a_compressed_reply_is_refused_unread(server: MisbehavingOpenAI, schema: bool) -> None:
    server.behaviours = [sends(zipped, encoding="gzip")]
    with pytest.raises(LanguageModelOutputError, match=COMPRESSED):
        ask(server, schema=schema)


@pytest.mark.parametrize("text", ["word ", ""], ids=["text", "thoughts apart from the text"])
def test_a_stream_that_goes_on_beyond_its_tokens_is_ended(server: MisbehavingOpenAI, text: str) -> None:
    def endless(request: Request) -> None:
        request.begin()
        end = time.monotonic() + 60
        while time.monotonic() < end:
            request.piece(text, **({} if text else {"reasoning_content": "hm "}))
        request.piece("", "stop")
        request.usage(20, 5)

    server.behaviours = [endless]
    with pytest.raises(LanguageModelOutputError, match=r"a-model was still writing after 1,400 characters") as ended:
        ask(server)
    assert ended.value.cut_off
    assert server.wait_until(lambda state: state.hung_up == 1)


def test_a_reply_as_long_as_its_tokens_is_whole(server: MisbehavingOpenAI) -> None:
    def long(request: Request) -> None:
        request.begin()
        for _ in range(50):
            request.piece("unquestionably, " * 2)
        request.piece("", "length")
        request.usage(20, 50)

    server.behaviours = [long]
    assert len(ask(server, most_tokens=100).text) == 1_600


@pytest.mark.parametrize(("encoding", "said"), [("", MODEL_LIMIT), ("gzip", COMPRESSED)])
def test_an_embedding_servers_reply_is_bounded(
    server: MisbehavingOpenAI, monkeypatch: pytest.MonkeyPatch, encoding: str, said: str
) -> None:
    monkeypatch.setattr("retrieval.encoders.openai_embedder._QUERY_RETRIES", 0)
    server.behaviours = [sends(zipped if encoding else large(b'{"data": "', b'"}'), encoding=encoding)]
    with pytest.raises(EncoderError, match=said):
        OpenAIEmbedder(EncoderSpec("embeddings-api", url=server.url, model="a-model"))


def test_a_rerankers_compressed_reply_is_refused_unread(server: MisbehavingOpenAI) -> None:
    server.behaviours = [sends(zipped, encoding="gzip")]
    reranker = HttpReranker(server.url, "a-model")
    try:
        with pytest.raises(RerankerOutputError, match=COMPRESSED):
            reranker.score_passages("why", ["because"], until=time.monotonic() + 60)
    finally:
        reranker.close()


def test_a_list_of_models_is_short(server: MisbehavingOpenAI) -> None:
    server.served = [{"id": "x" * 2 * MIB}]
    with pytest.raises(LanguageModelUnavailableError, match=r"exceeds 1,048,576 bytes"):
        list_models(server.url, "a-model", None)
