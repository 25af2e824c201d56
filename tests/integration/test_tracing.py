"""Spans of a real service: from an upload to its vectors, and from a question to each call of a model; never text."""

import json
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.client import Client
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.support.answering import CAPABLE, by_stage
from tests.support.cluster import wait_until
from tests.support.service import running

SECRET = "The keeper of the lighthouse was Ada Brandt."
QUESTION = "Who kept the lighthouse?"
ANSWER = 'Ada Brandt kept it [1].\n<support answered="yes">\n[1] "keeper of the lighthouse was Ada Brandt"\n</support>'


@pytest.fixture(scope="module")
def exported() -> Iterator[InMemorySpanExporter]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    yield exporter
    provider.shutdown()


@pytest.fixture(scope="module")
def client(exported: InMemorySpanExporter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    verdict = json.dumps({"verdicts": [{"sentence": 1, "support": "supported", "reason": ""}]})
    model = LoadedModel(CallableChat(answer=by_stage(ANSWER, judge=verdict)), CAPABLE)
    with running(tmp_path_factory.mktemp("home"), language_model=model) as (_, found):
        yield found


def of_trace(exported: InMemorySpanExporter, trace_id: int) -> dict[str, ReadableSpan]:
    return {each.name: each for each in exported.get_finished_spans() if each.context.trace_id == trace_id}


def begun(number: int) -> dict[str, str]:
    return {"traceparent": f"00-{number:032x}-{number:016x}-01"}


def test_an_upload_is_followed_to_its_vectors(client: Client, exported: InMemorySpanExporter) -> None:
    sent = client.http.post("/v1/documents", params={"name": "a.md"}, content=SECRET.encode(), headers=begun(0xA1))
    assert sent.status_code == 202
    spans = {"POST /v1/documents", "job ingest", "parse", "index", "job embed", "embeddings"}
    wait_until(lambda: spans <= set(of_trace(exported, 0xA1)), what="all spans have ended")
    found = of_trace(exported, 0xA1)
    endpoint, job = found["fastapi.endpoint"], found["job ingest"]
    assert job.parent is not None
    assert job.parent.span_id == endpoint.context.span_id
    assert found["embeddings"].parent == found["job embed"].context


def test_a_question_is_followed_to_each_call_of_the_model(client: Client, exported: InMemorySpanExporter) -> None:
    answered = client.http.post("/v1/answers", json={"question": QUESTION}, headers=begun(0xB2)).raise_for_status()
    found = of_trace(exported, 0xB2)
    endpoint, call = found["fastapi.endpoint"], found[f"chat {CAPABLE.name}"]
    assert call.parent is not None
    assert call.parent.span_id == endpoint.context.span_id
    assert call.attributes is not None
    assert call.attributes["gen_ai.operation.name"] == "chat"
    assert call.attributes["gen_ai.request.model"] == CAPABLE.name
    calls = [each for each in exported.get_finished_spans() if each.name == call.name]
    assert len(calls) == answered.json()["usage"]["calls"]


def test_no_span_holds_text_of_documents_questions_or_replies(client: Client, exported: InMemorySpanExporter) -> None:
    client.http.post("/v1/answers", json={"question": QUESTION, "strategy": "table"})
    everything = "".join(each.to_json() for each in exported.get_finished_spans())
    assert "POST /v1/answers" in everything
    for text in ("Ada", "lighthouse", "keeper"):
        assert text not in everything
