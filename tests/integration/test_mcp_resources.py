"""Resources, prompts and completions of the MCP server, by the SDK's own client at both dates of the protocol."""

import asyncio
import base64
import json
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CallToolResult,
    CompleteResult,
    EmbeddedResource,
    GetPromptResult,
    PromptReference,
    ReadResourceResult,
    Resource,
    ResourceTemplateReference,
    TextContent,
    TextResourceContents,
)

from api.admission.services import DEFAULT_TENANT
from api.mcp.resources import MAX_CHARS
from api.mcp.uris import DOCUMENT, IMAGE, KINDS, OUTLINE, PAGES, SECTION
from ingest.storage.accounts.records import Role, Scope
from tests.support.cluster import wait_until
from tests.support.harbour import HARBOUR, KEEPER, Harbour, Model, harbour
from tests.support.mcp_clients import DATES, connected, talk
from tests.support.pdf_files import pdf

LINES = ["The first page of the log.", "The second page of the log.", "The third page of the log."]
LONG = "".join(f"Line {number} of the long log.\n" for number in range(5_000)).strip()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as made:
        yield made


@pytest.fixture(scope="module")
def documents(service: Harbour) -> dict[str, str]:
    """The ids of all documents, by name: those of the harbour, a PDF of three pages, and a long text."""
    for name, content in (("log.pdf", pdf([[line] for line in LINES])), ("long.txt", LONG.encode())):
        upload(service, service.key, name, content)
    listed = service.client.get("/v1/documents")["documents"]
    return {each["name"]: each["id"] for each in listed}


@pytest.fixture(params=list(DATES))
def date(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def upload(service: Harbour, key: str, name: str, content: bytes, **parameters: str) -> str:
    headers = {"Authorization": f"Bearer {key}"}
    http = service.client.http
    made = http.post("/v1/documents", params={"name": name, **parameters}, content=content, headers=headers)
    document = str(made.raise_for_status().json()["id"])
    state = f"/v1/documents/{document}"
    wait_until(lambda: http.get(state, headers=headers).json()["state"] == "ready", what="it is ready")
    return document


def read(service: Harbour, date: str, uri: str, key: str | None = None) -> ReadResourceResult:
    return talk(service, date, lambda client: client.read_resource(uri), key)


def read_text(service: Harbour, date: str, uri: str) -> str:
    """The text of a resource that is read whole."""
    (content,) = read(service, date, uri).contents
    assert isinstance(content, TextResourceContents)
    assert content.uri == uri
    return content.text


def refusal(service: Harbour, date: str, uri: str, key: str | None = None) -> MCPError:
    with pytest.raises(MCPError) as error:
        read(service, date, uri, key)
    return error.value


def list_all(service: Harbour, date: str, key: str | None = None) -> list[Resource]:
    async def look(client: Client) -> list[Resource]:
        page = await client.list_resources()
        found = page.resources
        while page.next_cursor is not None:
            page = await client.list_resources(cursor=page.next_cursor)
            found += page.resources
        return found

    return talk(service, date, look, key)


def get_prompt(service: Harbour, date: str, name: str, key: str | None = None, /, **blanks: str) -> GetPromptResult:
    return talk(service, date, lambda client: client.get_prompt(name, blanks), key)


def words_of(prompt: GetPromptResult) -> str:
    first = prompt.messages[0].content
    assert isinstance(first, TextContent)
    return first.text


def complete(
    service: Harbour,
    date: str,
    ref: PromptReference | ResourceTemplateReference,
    name: str,
    value: str,
    known: dict[str, str] | None = None,
    key: str | None = None,
) -> list[str]:
    async def look(client: Client) -> CompleteResult:
        return await client.complete(ref, {"name": name, "value": value}, known)

    return talk(service, date, look, key).completion.values


def test_each_document_is_a_resource_whose_text_is_that_of_rest(
    service: Harbour, documents: dict[str, str], date: str
) -> None:
    listed = {each.name: each for each in list_all(service, date)}
    assert set(documents) <= set(listed)
    resource = listed["harbour.md"]
    assert (resource.uri, resource.mime_type) == (f"leadline://documents/{documents['harbour.md']}", "text/plain")
    assert (resource.title, resource.description) == ("Harbour", "Harbour (harbour.md)")
    assert read_text(service, date, resource.uri) == HARBOUR.decode().strip()
    span = DOCUMENT.build(document=documents["harbour.md"], start=2, end=9)
    assert read_text(service, date, span) == "Harbour"


def test_documents_are_listed_page_by_page_and_only_once_they_have_text(service: Harbour, date: str) -> None:
    services = service.services
    services.documents.catalog.ensure_tenant(f"many-{date}")
    _, key = services.keys.issue_key(f"many-{date}", "a test")
    wanted = [upload(service, key, f"{date}-{number}.txt", f"{date}: {number}".encode()) for number in range(102)]
    http, headers = service.client.http, {"Authorization": f"Bearer {key}"}
    broken = http.post("/v1/documents", params={"name": "broken.pdf"}, content=b"%PDF-1.4 broken", headers=headers)
    state = f"/v1/documents/{broken.json()['id']}"
    wait_until(lambda: http.get(state, headers=headers).json()["state"] == "failed", what="it has failed")

    async def look(client: Client) -> tuple[int, bool]:
        first = await client.list_resources()
        return len(first.resources), first.next_cursor is not None

    assert talk(service, date, look, key) == (99, True)  # The page holds the broken document, too.
    found = [each.uri for each in list_all(service, date, key)]
    assert found[: len(wanted)] == [DOCUMENT.build(document=each) for each in reversed(wanted)]
    assert DOCUMENT.build(document=broken.json()["id"]) not in found


def test_the_templates_lead_to_pages_sections_outlines_and_pictures(
    service: Harbour, documents: dict[str, str], date: str
) -> None:
    templates = talk(service, date, lambda client: client.list_resource_templates()).resource_templates
    assert [each.uri_template for each in templates] == [kind.template for kind in KINDS]
    log = documents["log.pdf"]
    for pages, lines in (("2", LINES[1:2]), ("2-3", LINES[1:]), ("1-3", LINES)):
        text = read_text(service, date, PAGES.build(document=log, pages=pages))
        assert [line for line in text.splitlines() if line] == lines
    section = SECTION.build(document=documents["harbour.md"], section="Harbour")
    assert read_text(service, date, section) == HARBOUR.decode().strip()
    outline = json.loads(read_text(service, date, OUTLINE.build(document=log)))
    assert [(each["kind"], each["page"]) for each in outline["entries"]] == [("page", 1), ("page", 2), ("page", 3)]
    (picture,) = read(service, date, IMAGE.build(document=log, page=2, width=100)).contents
    assert isinstance(picture, BlobResourceContents)
    assert picture.mime_type == "image/png"
    drawn = service.client.http.get(f"/v1/documents/{log}/pages/2/image", params={"width": 100})
    assert base64.b64decode(picture.blob) == drawn.content


def test_a_long_text_is_read_in_parts_that_say_where_to_continue(
    service: Harbour, documents: dict[str, str], date: str
) -> None:
    async def read_parts(client: Client) -> list[str]:
        uri, parts = DOCUMENT.build(document=documents["long.txt"]), []
        while uri:
            text, *note = (await client.read_resource(uri)).contents
            assert isinstance(text, TextResourceContents)
            assert text.meta is not None
            parts.append(text.text)
            following = text.meta["leadline/text"]["next"]
            if following is not None:
                (words,) = note
                assert isinstance(words, TextResourceContents)
                assert f"read the resource {following}" in words.text
                assert f"of {len(LONG):,}" in words.text
            uri = following
        return parts

    parts = talk(service, date, read_parts)
    assert "".join(parts) == LONG
    assert [len(each) for each in parts] == [MAX_CHARS, len(LONG) - MAX_CHARS]


def test_the_tool_reads_several_pages_at_once(service: Harbour, documents: dict[str, str], date: str) -> None:
    def call(**pages: int) -> CallToolResult:
        arguments = {"document": documents["log.pdf"], **pages}
        return talk(service, date, lambda client: client.call_tool("read", arguments))

    found = call(page=1, last_page=2).structured_content
    assert found is not None
    assert [line for line in found["text"].splitlines() if line] == LINES[:2]
    for wrong, said in (
        ({"page": 3, "last_page": 2}, "Page 2 comes before page 3."),
        ({"last_page": 2}, "`last_page` is sent without `page`."),
        ({"page": 1, "last_page": 4}, "The document has no page 4."),
    ):
        refused = call(**wrong)
        assert refused.is_error
        assert said in str(refused.content)


def test_a_wrong_uri_is_an_error_of_the_protocol_in_words(
    service: Harbour, documents: dict[str, str], date: str
) -> None:
    log = documents["log.pdf"]
    for uri, said in (
        ("file:///etc/passwd", "is not the URI of a resource"),
        ("leadline://documents/", "is not the URI of a resource"),
        (f"leadline://documents/{log}/nothing", "is not the URI of a resource"),
        (f"leadline://documents/{log}?begin=3", "an unknown parameter 'begin'"),
        (f"leadline://documents/{log}?start=1&start=2", "a repeated parameter 'start'"),
        (f"leadline://documents/{log}?start=two", "start: Input should be a valid integer"),
        (f"leadline://documents/{log}/pages/9", "The document has no page 9."),
        (f"leadline://documents/{log}/pages/3-1", "Page 1 comes before page 3."),
        (f"leadline://documents/{log}/pages/1-2-3", "last_page: Input should be a valid integer"),
        (f"leadline://documents/{log}/pages/1/image?width=9", "width: "),
        (f"leadline://documents/{log}/pages/9/image", "page"),
        (f"leadline://documents/{log}?version=old", "The document was replaced"),
        (f"leadline://documents/{log}?start={'1' * 5_000}", "The URI has 5,"),
        ("leadline://documents/nope", "Document 'nope' not found. Call `list` to list the documents."),
    ):
        error = refusal(service, date, uri)
        assert said in error.message
        assert error.code == INVALID_PARAMS
        assert error.data["uri"] == uri[:4_000]
        assert "/v1/" not in error.message


def test_a_resource_of_others_is_answered_like_one_that_nobody_has(
    service: Harbour, documents: dict[str, str], date: str
) -> None:
    """Another tenant's, one closed by its collection's grant, one closed by its own readers."""
    services = service.services
    services.documents.catalog.ensure_tenant("others")
    _, stranger = services.keys.issue_key("others", "a stranger")
    services.accounts.users.create(DEFAULT_TENANT, f"bob-{date}")
    _, bob = services.keys.issue_key(DEFAULT_TENANT, "bob's", scopes=[Scope.READ, Scope.ASK], user=f"bob-{date}")
    listed = upload(service, service.key, f"wages-{date}.txt", b"Cecily earns 91,000.", readers="group:hr")
    services.accounts.grants.grant_role(DEFAULT_TENANT, f"closed-{date}", "user:eve", Role.READER)
    granted = upload(service, service.key, f"plans-{date}.txt", b"The quokka begins.", collection=f"closed-{date}")
    for key, document in ((stranger, documents["log.pdf"]), (bob, listed), (bob, granted)):
        assert DOCUMENT.build(document=document) not in [each.uri for each in list_all(service, date, key)]
        for kind in KINDS:
            told = [
                refusal(service, date, kind.build(document=each, pages=1, page=1, section="Harbour"), key)
                for each in (document, "0" * len(document))
            ]
            assert told[0].code == told[1].code == INVALID_PARAMS
            assert told[0].message.replace(document, "ID") == told[1].message.replace("0" * len(document), "ID")
            assert told[0].data["code"] == told[1].data["code"] == "document_not_found"
        for name, wanted in (("summarize", {"document": document}), ("compare", {"first": document, "second": "x"})):
            with pytest.raises(MCPError, match="not found"):
                get_prompt(service, date, name, key, **wanted)
        for known in (document, "0" * len(document)):
            reference = ResourceTemplateReference(uri=PAGES.template)
            with pytest.raises(MCPError, match="not found"):
                complete(service, date, reference, "pages", "", {"document": known}, key)
    for key in (stranger, bob):
        prompt, template = PromptReference(name="summarize"), ResourceTemplateReference(uri=DOCUMENT.template)
        for name in ("wages", "plans"):
            assert complete(service, date, prompt, "document", name, key=key) == []
            assert complete(service, date, template, "document", name, key=key) == []
        assert complete(service, date, PromptReference(name="ask"), "collection", "closed", key=key) == []
    assert complete(service, date, PromptReference(name="ask"), "collection", f"closed-{date}") == [f"closed-{date}"]


def test_a_key_needs_the_scopes(service: Harbour, documents: dict[str, str], date: str) -> None:
    services = service.services
    _, writer = services.keys.issue_key(DEFAULT_TENANT, "a writer", scopes=[Scope.WRITE])
    _, reader = services.keys.issue_key(DEFAULT_TENANT, "a reader", scopes=[Scope.READ])
    document = documents["harbour.md"]

    async def names(client: Client) -> list[str]:
        return [each.name for each in (await client.list_prompts()).prompts]

    assert talk(service, date, names, reader) == ["check", "summarize", "compare"]
    assert talk(service, date, names, writer) == []
    assert refusal(service, date, DOCUMENT.build(document=document), writer).data["code"] == "scope_missing"
    with pytest.raises(MCPError, match="scope_missing"):
        list_all(service, date, writer)
    with pytest.raises(MCPError, match="scope_missing"):
        get_prompt(service, date, "ask", reader, question=KEEPER)
    with pytest.raises(MCPError, match="scope_missing"):
        complete(service, date, PromptReference(name="summarize"), "document", "har", key=writer)


def test_prompts_name_their_blanks_and_fill_them_in(service: Harbour, documents: dict[str, str], date: str) -> None:
    prompts = talk(service, date, lambda client: client.list_prompts()).prompts
    blanks = {each.name: [(blank.name, blank.required) for blank in each.arguments or []] for each in prompts}
    assert blanks == {
        "ask": [("question", True), ("collection", False)],
        "check": [("statement", True), ("collection", False)],
        "summarize": [("document", True), ("focus", False)],
        "compare": [("first", True), ("second", True), ("focus", False)],
    }
    asked = words_of(get_prompt(service, date, "ask", question=KEEPER, collection="default"))
    assert KEEPER in asked
    assert '`collections` set to ["default"]' in asked
    assert "collections" not in words_of(get_prompt(service, date, "check", statement="It burned.", collection=""))
    for wanted in (documents["harbour.md"], "harbour.md", "HARBOUR"):  # its id, its name, its title
        summary = get_prompt(service, date, "summarize", document=wanted, focus="the lamp")
        assert f"the document Harbour (harbour.md), id {documents['harbour.md']}" in words_of(summary)
        assert "concentrate on: the lamp" in words_of(summary)
        (embedded,) = [each.content for each in summary.messages[1:]]
        assert isinstance(embedded, EmbeddedResource)
        assert isinstance(embedded.resource, TextResourceContents)
        assert embedded.resource.text == HARBOUR.decode().strip()


def test_texts_that_are_compared_share_the_length_of_one_read(
    service: Harbour, documents: dict[str, str], date: str
) -> None:
    compared = get_prompt(service, date, "compare", first="long.txt", second=documents["log.pdf"])
    texts = [each.content.resource.text for each in compared.messages[1:]]  # type: ignore[union-attr]
    assert len(texts[0]) == MAX_CHARS // 2
    assert "This text is cut." in texts[1]
    assert "The first page of the log." in texts[2]


def test_wrong_prompts_are_errors_of_the_protocol_in_words(
    service: Harbour, documents: dict[str, str], date: str
) -> None:
    twins = [upload(service, service.key, f"twin-{date}.txt", f"{date} {each}".encode()) for each in "ab"]
    for name, blanks, said in (
        ("guess", {}, "Prompt 'guess' not found."),
        ("ask", {}, "question: Field required"),
        ("ask", {"question": "Who?", "colour": "red"}, "colour: "),
        ("ask", {"question": "Who?", "collection": "nope"}, "Collection 'nope' not found. Call `list`"),
        ("summarize", {"document": "nope"}, "Document 'nope' not found. Call `list`"),
        ("summarize", {"document": f"twin-{date}.txt"}, f"{twins[1]}, {twins[0]}. Send the id of one of them."),
    ):
        with pytest.raises(MCPError) as error:
            get_prompt(service, date, name, **blanks)
        assert said in error.value.message
        assert error.value.code == INVALID_PARAMS


def test_blanks_and_variables_are_completed(service: Harbour, documents: dict[str, str], date: str) -> None:
    summarize, pages = PromptReference(name="summarize"), ResourceTemplateReference(uri=PAGES.template)
    assert complete(service, date, summarize, "document", "harb") == ["Harbour"]
    assert complete(service, date, summarize, "focus", "the l") == []
    assert complete(service, date, PromptReference(name="check"), "collection", "DEF") == ["default"]
    assert complete(service, date, pages, "document", "log.pdf") == [documents["log.pdf"]]
    assert complete(service, date, pages, "pages", "", {"document": documents["log.pdf"]}) == ["1", "2", "3"]
    assert complete(service, date, pages, "pages", "2", {"document": documents["log.pdf"]}) == ["2"]
    assert complete(service, date, pages, "pages", "") == []
    section = ResourceTemplateReference(uri=SECTION.template)
    assert complete(service, date, section, "section", "har", {"document": documents["harbour.md"]}) == ["Harbour"]
    for reference, name in ((summarize, "colour"), (PromptReference(name="guess"), "x"), (pages, "width")):
        with pytest.raises(MCPError) as error:
            complete(service, date, reference, name, "")
        assert error.value.code == INVALID_PARAMS


_WORDS = "leadline: documents pages sections outline image start end version cursor width page 99999999999999999999 ٣"
_PARTS = st.sampled_from([*_WORDS.split(), *"/?&=#%.-1", "//", "%2F", "%00", "..", "\u202e"])
# The service refuses NUL in any request, before it reads the URI.
_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_uri_breaks_the_server_or_reads_past_the_callers_rights(
    service: Harbour, documents: dict[str, str], data: st.DataObject
) -> None:
    """A URI either names a document of the caller's, or is refused as one: never an internal error."""
    known = st.sampled_from(list(documents.values()))
    base = known.map(lambda document: f"leadline://documents/{document}")
    tail = st.lists(st.one_of(_PARTS, known, _TEXT), max_size=12).map("".join)
    uris = data.draw(st.lists(st.one_of(st.builds(str.__add__, base, tail), tail), min_size=8, max_size=8))

    async def read_all() -> None:
        async with connected(service, "2025-11-25") as client:  # Later versions repeat the URI in a header.
            for uri in uris:
                try:
                    found = await client.read_resource(uri)
                except MCPError as error:
                    refused.append((uri, error.code))
                else:
                    served.append((uri, {each.uri for each in found.contents}))

    served: list[tuple[str, set[str]]] = []
    refused: list[tuple[str, int]] = []
    asyncio.run(read_all())
    assert [(uri, code) for uri, code in refused if code != INVALID_PARAMS] == []
    for uri, named in served:
        assert named == {uri}
        assert any(uri.startswith(f"leadline://documents/{each}") for each in documents.values())
