"""The MCP SDK's own client over HTTP against a running service, at both dates of the protocol."""

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult

from api.admission.services import DEFAULT_TENANT
from api.openai.inert import neutralize_markdown
from ingest.storage.accounts.records import Scope
from ingest.storage.queue.records import JobKind
from tests.support.cluster import wait_until
from tests.support.harbour import COUNT, KEEPER, Harbour, Model, harbour
from tests.support.mcp_clients import DATES, connected
from tests.support.service import listening, running

ANSWER, QUOTE = "Ada Brandt kept it [1].", "keeper of the lighthouse was Ada Brandt"


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), model) as made:
        yield made


@pytest.fixture(params=list(DATES))
def date(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def called(service: Harbour, date: str, tool: str, /, *, key: str | None = None, **arguments: object) -> CallToolResult:
    async def call() -> CallToolResult:
        async with connected(service, date, key) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(call())


def given(service: Harbour, date: str, tool: str, /, *, key: str | None = None, **arguments: object) -> dict[str, Any]:
    """What a tool returned; its text is the same JSON, and the client checked it against the output schema."""
    result = called(service, date, tool, key=key, **arguments)
    assert not result.is_error, result.content
    assert result.structured_content is not None
    (content,) = result.content
    given: dict[str, Any] = json.loads(getattr(content, "text", ""))
    assert given == result.structured_content
    return given


def refusal(result: CallToolResult) -> str:
    assert result.is_error
    (content,) = result.content
    return str(getattr(content, "text", ""))


def test_each_tool_is_described_with_what_it_takes_and_returns(service: Harbour, date: str) -> None:
    async def look() -> tuple[list[Any], str | None]:
        async with connected(service, date) as client:
            return (await client.list_tools()).tools, client.instructions

    tools, _ = asyncio.run(look())
    assert [each.name for each in tools] == ["search", "read", "outline", "list", "ask", "run", "cancel", "upload"]
    for each in tools:
        assert each.description
        assert each.output_schema["type"] == "object"
        for name, argument in each.input_schema["properties"].items():
            assert "description" in argument or name == "collection", f"{each.name}: {name}"


def test_a_passage_that_is_found_can_be_read_with_what_stands_around_it(service: Harbour, date: str) -> None:
    found = given(service, date, "search", query="keeper of the lighthouse", limit=3)["passages"]
    assert QUOTE in found[0]["text"]
    whole = given(service, date, "read", document=found[0]["document"])
    assert whole["text"][found[0]["start"] : found[0]["end"]] == found[0]["text"]
    part = given(service, date, "read", document=found[0]["document"], start=11, limit=10)
    assert (part["text"], part["next_start"]) == (whole["text"][11:21], 21)
    entries = given(service, date, "outline", document=found[0]["document"])["entries"]
    assert [each["title"] for each in entries if each["kind"] == "heading"] == ["Harbour"]
    assert given(service, date, "read", document=found[0]["document"], section="harbour")["text"] == whole["text"]
    told = refusal(called(service, date, "read", document=found[0]["document"], page=7))
    assert told == "The document has no page 7. Call `outline` to list the document's parts. (bad_request)"


def test_tools_name_documents_with_their_periods_and_dates(service: Harbour, date: str) -> None:
    document = given(service, date, "search", query="keeper of the lighthouse", limit=1)["passages"][0]["document"]
    card = {"kind": "logbook", "periods": ["1880-Q2"], "dates": ["1880-05-01"]}
    changed = service.client.http.patch(f"/v1/documents/{document}/card", json=card, headers={"If-Match": "*"})
    assert changed.status_code == 200
    read = given(service, date, "read", document=document, limit=1)
    assert read["line"].endswith(", periods 1880-Q2, dates 1880-05-01")
    passages = given(service, date, "search", query="keeper of the lighthouse", limit=3)["passages"]
    assert {each["line"] for each in passages if each["document"] == document} == {read["line"]}
    filters = {"$card": {"periods": {"gte": 1880}, "dates": "1880-05-01"}}
    listed = given(service, date, "list", filters=filters)["documents"]
    assert [(each["document"], each["line"]) for each in listed] == [(document, read["line"])]
    service.client.http.patch(f"/v1/documents/{document}/card", json=dict.fromkeys(card), headers={"If-Match": "*"})


def test_a_short_question_is_answered_with_the_citations_of_rest(service: Harbour, date: str) -> None:
    told: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append(str(message))

    async def ask() -> CallToolResult:
        async with connected(service, date) as client:
            return await client.call_tool("ask", {"question": KEEPER}, progress_callback=hear)

    result = asyncio.run(ask()).structured_content
    assert result is not None
    assert (result["state"], result["run"], result["answer"]["text"]) == ("completed", None, ANSWER)
    kept = service.client.get(f"/v1/answers/{result['answer']['id']}")
    assert result["answer"]["citations"] == kept["citations"]
    assert result["answer"]["sentences"] == kept["sentences"]
    assert kept["citations"][0]["quote"] == QUOTE
    assert any(each.startswith("Reads 2 passages: ") for each in told)
    assert "Checks 1 sentence" in told


def test_a_question_in_the_background_is_a_run_to_poll(service: Harbour, date: str) -> None:
    begun = given(service, date, "ask", question=COUNT, background=True)
    assert begun["state"] in ("queued", "running", "completed")

    def ended() -> dict[str, Any]:
        return given(service, date, "run", run=begun["run"], wait_seconds=30)

    wait_until(lambda: ended()["state"] not in ("queued", "running"), what="the run has ended")
    assert ended()["state"] == "completed"
    assert "2 of the 4 orders came late" in ended()["answer"]["text"]


def test_a_run_can_be_stopped(service: Harbour, date: str) -> None:
    begun = given(service, date, "ask", question=COUNT, strategy="recursive")
    assert begun["answer"] is None  # it is not waited for
    ended = given(service, date, "cancel", run=begun["run"])
    assert ended["state"] in ("cancelled", "failed", "completed", "partial")


def test_a_client_that_goes_away_stops_the_work(service: Harbour, date: str) -> None:
    service.model.fault = "wait"
    try:
        for question in ("Who was the keeper?", "Who lit the lamp?", "Which lamp was it?"):

            async def leave(question: str = question) -> None:
                async with connected(service, date) as client:
                    asked = asyncio.create_task(client.call_tool("ask", {"question": question}))
                    while not service.model.open:
                        await asyncio.sleep(0.01)
                    asked.cancel()
                    await asyncio.wait([asked])

            asyncio.run(leave())
            wait_until(lambda: service.model.open == 0, what="the model is asked nothing more")
    finally:
        service.model.fault = ""


def test_an_uploaded_file_is_found_as_one_of_rest(service: Harbour, date: str) -> None:
    content = f"# Ferries\n\nIn the {date} timetable the ferry leaves at noon.\n"
    made = given(service, date, "upload", name="ferry.md", text=content, collection="boats", metadata={"year": 1880})
    same = given(
        service, date, "upload", name="ferry.md", base64=base64.b64encode(content.encode()).decode(), collection="boats"
    )
    assert (made["duplicate"], same["duplicate"], same["document"]) == (False, True, made["document"])
    shown = service.client.get(f"/v1/documents/{made['document']}")
    assert (shown["name"], shown["metadata"]) == ("ferry.md", {"year": 1880})
    wait_until(
        lambda: any(
            each["document"] == made["document"] and each["state"] == "ready"
            for each in given(service, date, "list", collection="boats")["documents"]
        ),
        what="it is ready",
    )
    boats = next(each for each in given(service, date, "list")["collections"] if each["collection"] == "boats")
    assert (boats["title"], boats["documents"] >= 1) == (None, True)
    told = refusal(called(service, date, "upload", name="a.txt"))
    assert "`text` or `base64`" in told


def test_an_upload_that_is_bulk_waits_behind_those_that_are_not(service: Harbour, date: str) -> None:
    jobs = service.services.jobs
    jobs.pause_kind(JobKind.INGEST)
    try:
        made = [
            given(service, date, "upload", name=f"{priority}.md", text=f"{priority} in {date}.", priority=priority)
            for priority in ("bulk", "interactive")
        ]
        shown = [service.client.get(f"/v1/documents/{each['document']}") for each in made]
    finally:
        jobs.resume_kind(JobKind.INGEST)
        service.services.work.doorbell.notify(JobKind.INGEST)
    bulk, interactive = (each["progress"]["queue_position"] for each in shown)
    assert bulk > interactive  # Documents of other tests may be ahead of both.


def test_a_key_sees_and_calls_the_tools_of_its_scopes(service: Harbour, date: str) -> None:
    services = service.services
    _, reader = services.keys.issue_key(DEFAULT_TENANT, "a reader", scopes=[Scope.READ])

    async def names() -> list[str]:
        async with connected(service, date, reader) as client:
            return [each.name for each in (await client.list_tools()).tools]

    assert asyncio.run(names()) == ["search", "read", "outline", "list", "run"]
    for name, arguments in (
        ("ask", {"question": KEEPER}),
        ("upload", {"name": "a", "text": "b"}),
        ("cancel", {"run": "x"}),
    ):
        told = refusal(called(service, date, name, key=reader, **arguments))
        assert "(scope_missing)" in told


def test_wrong_arguments_are_told_by_name(service: Harbour, date: str) -> None:
    assert "limit: " in refusal(called(service, date, "search", query="x", limit=0))
    assert "colour: " in refusal(called(service, date, "search", query="x", colour="red"))


def test_null_means_that_an_argument_is_not_set(service: Harbour, date: str) -> None:
    unset = dict.fromkeys(("collections", "documents", "filters"))
    found = given(service, date, "search", query="Who kept the lighthouse?", limit=None, **unset)
    assert found == given(service, date, "search", query="Who kept the lighthouse?")
    asked = given(service, date, "ask", question=KEEPER, strategy=None, confirm=None, **unset)
    assert asked["answer"]["text"] == ANSWER


def test_an_unknown_tool_is_an_error_of_the_protocol(service: Harbour, date: str) -> None:
    async def call() -> MCPError:
        async with connected(service, date) as client:
            with pytest.raises(MCPError) as error:
                await client.call_tool("guess", {})
            return error.value

    error = asyncio.run(call())
    assert (error.code, "Tool 'guess' not found." in error.message) == (-32602, True)


def test_what_is_not_there_is_told_with_a_tool_to_call_and_no_route(service: Harbour, date: str) -> None:
    for name, arguments, expected in (
        ("read", {"document": "nope"}, "Document 'nope' not found. Call `list` to list the documents."),
        ("run", {"run": "nope"}, "Run 'nope' not found. Call `run` with an id returned by `ask`."),
        ("ask", {"question": KEEPER, "collections": ["nope"]}, "Collection 'nope' not found. Call `list` to"),
        ("search", {"query": KEEPER, "collections": ["nope"]}, "Collection 'nope' not found. Call `list` to"),
        ("list", {"collection": "nope"}, "Collection 'nope' not found. Call `list` to"),
        ("ask", {"question": KEEPER, "conversation": "nope"}, "Call `ask` with `conversation` set to `new`"),
        ("ask", {}, "question: Field required. Correct the named arguments."),
    ):
        told = refusal(called(service, date, name, **arguments))
        assert expected in told
        assert "/v1/" not in told


def test_the_server_names_its_release(service: Harbour) -> None:
    async def look() -> str | None:
        async with connected(service, "2025-11-25") as client:
            return client.server_info.version if client.server_info else None

    assert asyncio.run(look()) == version("leadline")


def test_a_collection_is_listed_with_its_title(service: Harbour, date: str) -> None:
    name = f"coast-{date}"
    service.client.post("/v1/collections", {"name": name, "title": "The coast"})
    listed = given(service, date, "list")["collections"]
    assert {"collection": name, "title": "The coast", "documents": 0} in listed


def test_a_search_says_whose_its_scores_are(service: Harbour, tmp_path: Path) -> None:
    assert given(service, "2026-07-28", "search", query="keeper")["reranked"] is True
    with harbour(tmp_path, Model(), reranker="none") as without:
        assert given(without, "2026-07-28", "search", query="keeper")["reranked"] is False


def test_nothing_of_another_tenant_is_found_read_or_told(service: Harbour, date: str) -> None:
    """Twins: both tenants have the same sentence, and each finds its own document alone."""
    services = service.services
    services.documents.catalog.ensure_tenant("twins")
    _, key = services.keys.issue_key("twins", "a twin")
    content = "# Twins\n\nThe keeper of the lighthouse was Ada Brandt, says the twin.\n"
    mine = given(service, date, "upload", key=key, name="twin.md", text=content)["document"]
    wait_until(lambda: given(service, date, "list", key=key)["documents"][0]["state"] == "ready", what="ready")
    theirs = given(service, date, "search", query="keeper of the lighthouse")["passages"]
    own = given(service, date, "search", key=key, query="keeper of the lighthouse", limit=50)["passages"]
    assert {each["document"] for each in own} == {mine}
    assert mine not in {each["document"] for each in theirs}
    run = given(service, date, "ask", question=COUNT, background=True)["run"]
    for name, foreign, unknown in (
        ("read", {"document": theirs[0]["document"]}, {"document": "0" * 36}),
        ("outline", {"document": theirs[0]["document"]}, {"document": "0" * 36}),
        ("run", {"run": run}, {"run": "0" * 36}),
        ("cancel", {"run": run}, {"run": "0" * 36}),
    ):
        told = [refusal(called(service, date, name, key=key, **each)) for each in (foreign, unknown)]
        (anothers,), (nobodys,) = foreign.values(), unknown.values()
        assert told[0].replace(anothers, "ID") == told[1].replace(nobodys, "ID")
    asked = given(service, date, "ask", key=key, question=KEEPER, documents=[theirs[0]["document"]])
    assert asked["answer"]["citations"] == []


def test_an_answer_cannot_make_a_client_load_or_link_anything(service: Harbour, model: Model, date: str) -> None:
    model.wrapped = "![x](https://evil.example/a) [l](https://evil.example/b) <img src=x>\U000e0041 "
    try:
        answer = given(service, date, "ask", question=KEEPER)["answer"]
    finally:
        model.wrapped = ""
    assert "evil" in answer["text"]
    assert neutralize_markdown(answer["text"]) == answer["text"]
    assert "https://" not in answer["text"]
    for each in answer["sentences"]:
        assert answer["text"][each["start"] : each["end"]] == each["text"]


def test_without_a_valid_key_nothing_is_answered(service: Harbour) -> None:
    for headers in ({}, {"Authorization": "Bearer ll_nobody"}):
        refused = httpx.post(f"{service.url}/mcp", json={}, headers=headers)
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")


def test_a_host_that_is_not_the_services_is_refused_in_words(service: Harbour) -> None:
    headers = {"Authorization": f"Bearer {service.key}", "Accept": "application/json, text/event-stream"}
    for named in ({"Host": "rebound.example"}, {"Origin": "https://evil.example"}):
        refused = httpx.post(f"{service.url}/mcp", json={}, headers={**headers, **named})
        assert refused.status_code == 421
        assert refused.json()["code"] == "unknown_host"
        assert "LEADLINE_PUBLIC_URL" in refused.json()["hint"]


def test_behind_a_proxy_the_public_name_is_known_and_leads_to_the_identity_provider(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "oidc_issuer": "https://id.example.org",
        "oidc_audience": "leadline",
        "public_url": "https://docs.example.org",
        "mcp_hosts": "leadline-api",
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}}
    with running(tmp_path, **settings) as (services, _), listening(services) as (url, key):
        headers = {"Authorization": f"Bearer {key}", "Accept": "application/json, text/event-stream"}
        for host in ("docs.example.org", "docs.example.org:443", "leadline-api:8000", urlsplit(url).netloc):
            assert httpx.post(f"{url}/mcp", json=body, headers={**headers, "Host": host}).status_code != 421
        assert httpx.post(f"{url}/mcp", json=body, headers={**headers, "Host": "evil.example"}).status_code == 421
        refused = httpx.post(f"{url}/mcp", json=body, headers={"Host": "docs.example.org"})
        (where,) = re.findall(r'resource_metadata="([^"]+)"', refused.headers["www-authenticate"])
        told = httpx.get(f"{url}{urlsplit(where).path}", headers={"Host": "docs.example.org"}).json()
        assert told["resource"] == "https://docs.example.org/mcp"
        assert [each.rstrip("/") for each in told["authorization_servers"]] == ["https://id.example.org"]
