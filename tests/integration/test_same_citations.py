"""An answer is the same by every protocol: numbers, offsets, pages, places, quotations and checks of its citations."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.openai.inert import neutralize_markdown
from rlm.answers import Answer, Check, Citation, Output, OutputKind, Quote, Sentence
from rlm.events import Completed, Delta
from rlm.form_schemas import dump_json
from tests.fakes.scripted_answers import answer
from tests.support.asking import AskedApi, asked_api

QUESTION = "Which colour had the whale?"
PLACES = (None, ""), (2, "page 2"), (4, "sheet Costs, row 40")
# What clients would render, and what counts differently in code points, UTF-16 and bytes.
_SNIPPETS = [
    "![x](http://x/)",
    "<b>",
    "[a]: //x",
    "𝔚𝔥𝔞𝔩𝔢",
    "e\u0301",
    "👩‍👩‍👧",
    "\u2028",
    "\t",
    "[0]",
    "[99]",
    "[12345]",
]
_PIECES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12), st.sampled_from(_SNIPPETS)
)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    """An answer of some sentences with markers, some of which name citations, in any text."""
    numbers = range(1, draw(st.integers(1, 4)) + 1)
    cited = []
    for number in numbers:
        page, place = draw(st.sampled_from(PLACES))
        start, length = draw(st.integers(0, 10**6)), draw(st.integers(1, 500))
        quote = draw(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20))
        title = draw(st.sampled_from(["The Whale", "Größe & <b>", "𝔚"]))
        verified = draw(st.booleans())
        where = (("Chapter 1",), page, start, start + length, quote, verified, place)
        cited.append(Citation(number, f"document-{number}", f"version-{number}", title, *where))
    text, sentences = "", []
    for _ in range(draw(st.integers(1, 4))):
        mine = draw(st.lists(st.sampled_from(numbers), max_size=3, unique=True))
        body = draw(_PIECES) + draw(_PIECES) + "".join(f" [{number}]" for number in mine) + draw(_PIECES)
        quotes = tuple(
            Quote(n, cited[n - 1].start, cited[n - 1].end, cited[n - 1].quote, cited[n - 1].page) for n in mine
        )
        check = draw(st.sampled_from(list(Check)))
        sentences.append(Sentence(body, len(text), len(text) + len(body), tuple(mine), check, "", quotes))
        text += body + " "
    return answer(text=text, citations=tuple(cited), sentences=tuple(sentences))


@dataclass(frozen=True)
class Seen:
    """What a client sees: the text without anything to render, its citations, its sentences and its annotations."""

    text: str
    citations: list[tuple[Any, ...]]
    sentences: list[tuple[Any, ...]]
    annotations: list[tuple[Any, ...]] | None = None


def seen(body: Mapping[str, Any], text: str | None = None, annotations: Any = None) -> Seen:  # noqa: ANN401 - JSON
    """What the members of an answer say, in whichever reply they stand."""
    return Seen(
        neutralize_markdown(body["text"]) if text is None else text,
        [tuple(each[name] for name in ("number", *_SPAN)) for each in body["citations"]],
        [
            (
                (each["start"], each["end"], each["citations"], each["check"]),
                [(quote["number"], quote["start"], quote["end"], quote["text"]) for quote in each["quotes"]],
            )
            for each in body["sentences"]
        ],
        annotations,
    )


_SPAN = ("document_id", "version_id", "page", "place", "start", "end", "quote", "verified")


def marks(annotations: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """The markers of annotations that name addresses: where each stands, and what its extension says."""
    nested = [each.get("url_citation", each) for each in annotations if each["type"] == "url_citation"]
    return [
        (each["start_index"], each["end_index"], *(each["leadline"][name] for name in ("number", *_SPAN)))
        for each in nested
    ]


def lines(text: str) -> list[dict[str, Any]]:
    """The bodies of server-sent events."""
    sent = (line[6:] for line in text.split("\n") if line.startswith("data: "))
    return [json.loads(line) for line in sent if line != "[DONE]"]


def rest(api: AskedApi) -> Seen:
    return seen(api.ask(QUESTION))


def kept(api: AskedApi) -> Seen:
    return seen(api.get(f"/v1/answers/{api.ask(QUESTION)['id']}"))


def streamed(api: AskedApi) -> Seen:
    events = api.events(question=QUESTION)
    text = "".join(body["text"] for name, body in events if name == "delta")
    return seen(events[-1][1], neutralize_markdown(text))


def _post(api: AskedApi, path: str, **body: Any) -> Any:  # noqa: ANN401 - a reply
    found = api.http.post(path, json={"model": "leadline", **body})
    assert found.status_code == 200, found.text
    return found


def _chat(api: AskedApi, **more: Any) -> Any:  # noqa: ANN401
    return _post(api, "/v1/chat/completions", messages=[{"role": "user", "content": QUESTION}], **more)


def chat(api: AskedApi) -> Seen:
    body = _chat(api).json()
    message = body["choices"][0]["message"]
    return seen(body["leadline"], message["content"], marks(message["annotations"]))


def chat_stream(api: AskedApi) -> Seen:
    chunks = lines(_chat(api, stream=True).text)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    text = "".join(delta.get("content", "") for delta in deltas)
    (annotations,) = [delta["annotations"] for delta in deltas if "annotations" in delta]
    return seen(chunks[-1]["leadline"], text, marks(annotations))


def _response(body: Mapping[str, Any]) -> Seen:
    (part,) = next(each for each in body["output"] if each["type"] == "message")["content"]
    files = [(each["index"], each["leadline"]["number"]) for each in part["annotations"] if "file_id" in each]
    if files:  # they are for whoever asked with a file search
        assert files == [(mark[1], mark[2]) for mark in marks(part["annotations"])]
    return seen(body["leadline"], part["text"], marks(part["annotations"]))


def responses(api: AskedApi) -> Seen:
    return _response(_post(api, "/v1/responses", input=QUESTION).json())


def response_again(api: AskedApi) -> Seen:
    made = _post(api, "/v1/responses", input=QUESTION).json()
    return _response(api.get(f"/v1/responses/{made['id']}"))


def response_stream(api: AskedApi) -> Seen:
    events = lines(_post(api, "/v1/responses", input=QUESTION, stream=True).text)
    found = _response(events[-1]["response"])
    added = [each["annotation"] for each in events if each["type"] == "response.output_text.annotation.added"]
    text = "".join(each["delta"] for each in events if each["type"] == "response.output_text.delta")
    assert (marks(added), text) == (found.annotations, found.text)
    return found


def mcp(api: AskedApi) -> Seen:
    call = {"name": "ask", "arguments": {"question": QUESTION}, "_meta": _META}
    sent = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
    headers = {
        "Accept": "application/json, text/event-stream",
        "Mcp-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": "ask",
        "Host": "127.0.0.1",
    }
    found = api.http.post("/mcp", json=sent, headers=headers)
    assert found.status_code == 200, found.text
    body = found.json() if found.headers["content-type"] == "application/json" else lines(found.text)[-1]
    whole = body["result"]["structuredContent"]["answer"]
    return seen(whole, whole["text"])


_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "a test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
PROTOCOLS: tuple[Callable[[AskedApi], Seen], ...] = (
    *(rest, kept, streamed, chat, chat_stream, responses, response_again, response_stream, mcp),
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AskedApi]:
    with asked_api(tmp_path_factory.mktemp("home")) as api:
        yield api


@given(made=answers())
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_protocol_cites_alike(api: AskedApi, made: Answer) -> None:
    cited = {each.number: each for each in made.citations}
    markers = [
        (found.start(), found.end(), cited[int(found[1])])
        for found in re.finditer(r"\[(\d{1,4})\]", made.text)
        if int(found[1]) in cited
    ]

    def members(each: Citation) -> tuple[Any, ...]:
        return (each.number, *(getattr(each, name) for name in _SPAN))

    citations = [members(each) for each in made.citations]
    sentences = [
        (
            (each.start, each.end, list(each.citations), each.check),
            [(quote.number, quote.start, quote.end, quote.text) for quote in each.quotes],
        )
        for each in made.sentences
    ]
    annotations = [(start, end, *members(each)) for start, end, each in markers]
    for protocol in PROTOCOLS:
        half = len(made.text) // 2
        api.answers.scripts = [[Delta(made.text[:half]), Delta(made.text[half:]), Completed(made)]]
        found = protocol(api)
        expected = Seen(
            neutralize_markdown(made.text), citations, sentences, annotations if found.annotations is not None else None
        )
        assert found == expected, protocol.__name__
        assert all(found.text[start:end] == f"[{each.number}]" for start, end, each in markers)


@given(made=answers(), value=st.dictionaries(st.text(max_size=5), _PIECES, max_size=3))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_answer_in_the_form_of_a_schema_cites_like_the_plain_answer(
    api: AskedApi, made: Answer, value: dict[str, str]
) -> None:
    form = {"json_schema": {"name": "x", "schema": {"type": "object"}}, "type": "json_schema"}
    plain = _chat(api_answering(api, made)).json()
    formed = replace(made, output=Output(OutputKind.JSON, dump_json(value)))
    chat_body = _chat(api_answering(api, formed), response_format=form).json()
    message = chat_body["choices"][0]["message"]
    text = {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}}
    response = _post(api_answering(api, formed), "/v1/responses", input=QUESTION, text=text).json()
    again = api.get(f"/v1/responses/{response['id']}")
    rest_body = api_answering(api, formed).ask(QUESTION, output={"json_schema": {"type": "object"}})
    expected = seen(plain["leadline"])
    for body in (chat_body["leadline"], response["leadline"], again["leadline"], rest_body):
        assert seen(body) == expected
    (part,) = response["output"][0]["content"]
    for content, annotations in ((message["content"], message["annotations"]), (part["text"], part["annotations"])):
        assert json.loads(content) == value
        assert neutralize_markdown(content) == content
        numbers = [(start, end, number) for start, end, number, *_ in marks(annotations)]
        assert numbers == [(0, len(content), each.number) for each in made.citations]


def api_answering(api: AskedApi, made: Answer) -> AskedApi:
    """The service, which gives this answer next."""
    api.answers.scripts = [[Delta(made.text), Completed(made)]]
    return api
