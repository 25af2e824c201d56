"""Documents that are closed to some of their tenant: planted twins, changes and caches, over a real service.

Every document has the same sentences, and each closed one has an open twin and a secret word of its own. Whatever a
person is sent, and whatever a model is shown on the person's behalf, must hold no id, name or word of a document that
the person may not see.
"""

import json
import random
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from api.admission.services import Services
from ingest.storage.queue.records import JobKind
from rlm.llm.profiles import ModelProfile
from tests.fakes.callable_chat import CallableChat
from tests.fakes.loaded_model import LoadedModel
from tests.fakes.scripted_root import in_code
from tests.support.cluster import wait_until
from tests.support.metadata_model import matches
from tests.support.people import People, asked_by_people
from tests.support.service import running

SUBJECTS = ("user:eve", "user:bob", "user:cy", "group:hr", "group:it")
PERSONS = ("admin", "bob", "cy", "eve", "robot")
CLOSED = 10
LONG_WORDS = [f"zq{letter}word" for letter in "klmnop"]
TWIN = "# Ledger {n}\n\nThe harbour ledger number {n} lists ships, masts and cargo.\n"
SECRET = TWIN + "\n## Remarks\n\nThe word of this ledger is {word}.\n"
# More than a model reads at once for a column: these ledgers are searched.
LONG = SECRET + "\n## Log\n\n" + "The harbour ledger lists no word but wind and weather. " * 400
PROFILE = ModelProfile("capable", 32_000, 4_000, reading_tokens=8_000, writes_code=True)
# All reading tools of a program, and handles of documents that it was not given.
PROGRAM = """
found = search("harbour ledger word", 50)
hits = grep("zq[a-z]+", 200)
counted = count("zq[a-z]+")
listed = outline()
inside = [outline(each) for each in listed]
whole = records(by="document")
texts = read(whole) + [read(each) for each in records(by="line")[:50]]
refused = 0
for name in {forbidden!r}:
    for handle in (name, {{"document": name, "start": 0, "end": 50}}):
        try:
            print(read(handle))
        except Exception:
            refused = refused + 1
print(found, hits, counted, listed, inside, texts)
submit({{"documents": len(listed), "refused": refused}})
"""
COLUMN = {
    "table": "documents",
    "name": "ledger_word",
    "instruction": "Which word does the ledger have?",
    "type": "text",
    "labels": [],
    "where": "",
}
PLAN = {
    "semantic_columns": [COLUMN],
    "sql": "SELECT name, ledger_word FROM documents",
    "rows_sql": "SELECT _row FROM documents",
    "language": "en",
}


class World:
    """The service, and a plain model of what is in it: metadata and readers by document."""

    def __init__(self, services: Services, http: TestClient, people: People, chat: CallableChat) -> None:
        self.services, self.http, self.people, self.chat = services, http, people, chat
        self.subjects = {person: people.principal(person).readers for person in people}
        self.readers: dict[str, set[str] | None] = {}
        self.metadata: dict[str, dict[str, Any]] = {}
        self.names: dict[str, set[str]] = {}
        self.words: dict[str, str] = {}
        self.strategy = "direct"
        self.forbidden: list[str] = []

    def add(self, name: str, text: str, collection: str, word: str, readers: list[str] | None, year: int) -> None:
        params: dict[str, Any] = {"name": name, "collection": collection, "metadata": json.dumps({"year": year})}
        if readers is not None:
            params["readers"] = readers
        response = self.http.post("/v1/documents", params=params, content=text, headers=self.of("admin"))
        assert response.status_code == 202, response.text
        identifier = response.json()["id"]
        self.readers[identifier] = None if readers is None else set(readers)
        self.metadata[identifier] = {"year": year}
        self.names[identifier] = {name, *([word] if word else [])}
        self.words[identifier] = word

    def add_open(self, name: str, text: str) -> str:
        """Add an open document, wait until it is searched, and return its id."""
        self.add(name, text, "open", "", None, 1800)
        waiting = self.services.jobs.count_unfinished_jobs
        wait_until(lambda: not any(waiting().values()), what="everything is indexed")
        return next(document for document, names in self.names.items() if name in names)

    def of(self, person: str, **more: str) -> dict[str, str]:
        return self.people.of(person, **more)

    def sees(self, person: str, document: str) -> bool:
        own, readers = self.subjects[person], self.readers[document]
        return own is None or readers is None or bool(own & readers)

    def wait_for(self, run: str, person: str) -> None:
        def ended() -> bool:
            return bool(self.http.get(run, headers=self.of(person)).json()["ended_at"])

        wait_until(ended, what="the run has ended")

    def list_words(self, person: str) -> set[str]:
        return {word for document, word in self.words.items() if self.sees(person, document)}

    def hidden(self, person: str) -> list[str]:
        return [document for document in self.readers if not self.sees(person, document)]

    def require_no_trace(self, person: str, text: str, *, but_ids: bool = False) -> None:
        """`but_ids` is for what was made while the documents were open, or by a program that was told of them."""
        for document in self.hidden(person):
            for trace in self.names[document] if but_ids else {document, *self.names[document]}:
                assert trace not in text, f"{person} is shown {trace} of {document}"

    def change(self, document: str, **members: Any) -> None:  # noqa: ANN401 - JSON
        path, headers = f"/v1/documents/{document}", self.of("admin", **{"If-Match": "*"})
        assert self.http.patch(path, json=members, headers=headers).status_code == 200
        if "readers" in members:
            self.readers[document] = None if members["readers"] is None else set(members["readers"])
        self.metadata[document] |= members.get("metadata", {})

    def search(self, person: str, **body: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
        response = self.http.post("/v1/search", json=body, headers=self.of(person))
        assert response.status_code == 200, response.text
        hits: list[dict[str, Any]] = response.json()["hits"]
        self.require_no_trace(person, json.dumps(hits))
        return hits

    def ask(self, person: str, strategy: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Ask in the foreground; what the model was shown may have no trace of what the person may not see either."""
        self.strategy, self.forbidden = strategy, self.hidden(person)
        begun = len(self.chat.prompts)
        asked = {"question": f"Which words do the ledgers have? ({len(self.chat.prompts)})", "strategy": strategy}
        response = self.http.post("/v1/answers", json={**asked, "confirm": True, **body}, headers=self.of(person))
        assert response.status_code in (200, 202), response.text
        self.require_no_trace(person, response.text)
        for prompt in self.chat.prompts[begun:]:
            self.require_no_trace(person, prompt)
        found: dict[str, Any] = response.json()
        return found


def _copy_records(prompt: str) -> str:
    """Give each record its own text as its value: a model that says all that it was shown."""
    body = prompt[prompt.index("BEGIN records") : prompt.index("END records")]
    records = re.findall(r"^(\d+)\. (.*)$", body, re.MULTILINE)
    return json.dumps({number: {"words": text[:500], "answer": {"value": text[:2_000]}} for number, text in records})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made: list[World] = []

    async def reply(prompt: str) -> str:
        if "Give a verdict on each sentence" in prompt:
            return '{"verdicts": []}'
        if "BEGIN records" in prompt:
            return _copy_records(prompt)
        if made[0].strategy == "table":
            return json.dumps({**PLAN, "answer": "These are the documents."})
        if made[0].strategy == "recursive":
            return in_code(PROGRAM.format(forbidden=made[0].forbidden))
        return f"{prompt[-3_000:].replace('[', '(')} [1]."  # a model that says all that it was shown

    chat = CallableChat(answer=reply)
    model = LoadedModel(chat, PROFILE)
    with (
        running(tmp_path_factory.mktemp("home"), language_model=model) as (services, _),
        asked_by_people(services) as (http, people),
    ):
        world = World(services, http, people, chat)
        made.append(world)
        for number in range(CLOSED):
            readers = [SUBJECTS[number % len(SUBJECTS)], SUBJECTS[(3 * number + 1) % len(SUBJECTS)]]
            year, word = 1800 + number, f"zq{'abcdefghij'[number]}word"
            world.add(f"open-{number}.md", TWIN.format(n=number), "open", "", None, year)
            world.add(f"closed-{number}.md", TWIN.format(n=number), "closed", "", readers, year)
            world.add(f"secret-{number}.md", SECRET.format(n=number, word=word), "closed", word, readers, year)
        for number, word in enumerate(LONG_WORDS):
            readers = [SUBJECTS[number % len(SUBJECTS)]]
            world.add(f"long-{number}.md", LONG.format(n=number, word=word), "closed", word, readers, 1800 + number)
        waiting = services.jobs.count_unfinished_jobs
        wait_until(lambda: not any(waiting().values()), what="everything is indexed")
        yield world


def step(world: World, chance: random.Random) -> None:
    """Change the readers or the metadata of some document, or search for something as somebody."""
    document = chance.choice(list(world.readers))
    if chance.random() < 0.08:
        some = chance.sample(SUBJECTS, chance.randrange(3))
        world.change(document, readers=None if chance.random() < 0.2 else some)
        return
    if chance.random() < 0.05:
        world.change(document, metadata={"year": chance.randrange(1800, 1810)})
        return
    person = chance.choice(PERSONS)
    body: dict[str, Any] = {"mode": chance.choice(["bm25", "hybrid", "dense"]), "top_k": chance.choice([3, 50])}
    if chance.random() < 0.3:
        body["filters"] = {"year": chance.choice([{"gte": 1805}, {"not": [1801, 1803]}, 1802, [1804, 1805]])}
    if chance.random() < 0.2:
        body["collections"] = ["closed"]
    if chance.random() < 0.2:
        body["documents"] = chance.sample(list(world.readers), 5)
    if chance.random() < 0.2:
        body |= {"grouped": True, "expand_chars": 500}
    word = world.words[document]
    if word and chance.random() < 0.5:
        hits = world.search(person, query=word, mode="bm25", filters=body.get("filters", {}))
        expected = world.sees(person, document) and matches(world.metadata[document], body.get("filters", {}))
        assert {hit["document"] for hit in hits} == ({document} if expected else set())
    else:
        hits = world.search(person, query="harbour ledger " + chance.choice(["ships", "masts", "word"]), **body)
        assert all(matches(world.metadata[hit["document"]], body.get("filters", {})) for hit in hits)


def test_random_searches_between_random_changes_show_what_a_plain_model_says(world: World) -> None:
    chance = random.Random(7)
    for _ in range(300):
        step(world, chance)


@pytest.mark.slow
def test_five_thousand_searches_between_changes_show_nothing_that_is_closed(world: World) -> None:
    chance = random.Random(8)
    for _ in range(5_000):
        step(world, chance)


@pytest.mark.parametrize("strategy", ["direct", "table", "recursive"])
def test_no_answer_and_no_prompt_has_anything_of_a_closed_document(world: World, strategy: str) -> None:
    chance = random.Random(9)
    for person in PERSONS:
        answer = world.ask(person, strategy)
        if strategy == "recursive":
            seen, hidden = len(world.readers) - len(world.forbidden), len(world.forbidden)
            assert answer["result"]["value"] == {"documents": seen, "refused": 2 * hidden}
        if strategy == "table":
            searched = [word for word in LONG_WORDS if word in json.dumps(answer["table"]["rows"])]
            assert searched == [word for word in LONG_WORDS if word in world.list_words(person)]
        read = world.http.get(f"/v1/answers/{answer['id']}", headers=world.of(person))
        assert read.status_code == 200
        world.change(chance.choice(list(world.readers)), readers=["group:hr"])
        for path in (f"/v1/answers/{answer['id']}", f"/v1/answers/{answer['id']}/rows"):
            shown = _without_text(world.http.get(path, headers=world.of(person)).text)
            world.require_no_trace(person, shown, but_ids=True)


def _without_text(answer: str) -> str:
    """The answer but for its own words and the model's value, which a deletion leaves too."""
    found = json.loads(answer)
    for each in (found, *found.get("sentences", ())):
        each.pop("text", None)
    return json.dumps(found)


@pytest.mark.parametrize("strategy", ["direct", "recursive"])
def test_a_run_acts_for_who_asked_and_is_nobody_elses(world: World, strategy: str) -> None:
    for person in ("eve", "cy"):
        begun = len(world.chat.prompts)
        run = world.ask(person, strategy, background=True, budget={"calls": 20})
        at = f"/v1/runs/{run['id']}"
        world.wait_for(at, person)
        for prompt in world.chat.prompts[begun:]:
            world.require_no_trace(person, prompt, but_ids=strategy == "recursive")
        whole = world.http.get(at, headers=world.of(person))
        world.require_no_trace(person, whole.text)
        assert whole.json()["state"] in ("completed", "partial"), whole.text
        log = world.http.get(
            f"{at}/events", headers=world.of(person, accept="application/json"), params={"limit": 1000}
        )
        world.require_no_trace(person, log.text, but_ids=strategy == "recursive")
        for other in {"eve", "bob", "cy", "robot"} - {person}:
            unknown = world.http.get("/v1/runs/nothing", headers=world.of(other)).json()
            for method, route in (("GET", at), ("GET", f"{at}/events"), ("POST", f"{at}/cancel"), ("DELETE", at)):
                refused = world.http.request(method, route, headers=world.of(other))
                assert (refused.status_code, refused.json()["code"]) == (404, unknown["code"])
            assert run["id"] not in world.http.get("/v1/runs", headers=world.of(other)).text
        assert world.http.get(at, headers=world.of("admin")).status_code == 200


def test_the_log_of_a_run_is_withheld_once_something_in_its_scope_is_closed(world: World) -> None:
    document = next(each for each in world.readers if world.readers[each] is None)
    run = world.ask("bob", "direct", background=True, budget={"calls": 20}, documents=[document])
    at = f"/v1/runs/{run['id']}"
    world.wait_for(at, "bob")
    (name,) = [each for each in world.names[document] if each.endswith(".md")]
    log = world.of("bob", accept="application/json")
    assert "ledger" in world.http.get(f"{at}/events", headers=log).text
    world.change(document, readers=["user:eve"])
    events = world.http.get(f"{at}/events", headers=log).json()["events"]
    assert {each["kind"] for each in events if "withheld" not in each["body"]} == {"start", "end"}
    stream = world.http.get(f"{at}/events", headers=world.of("bob")).text
    sent = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    ended = json.loads(sent[-1])
    answer = ended["run"].pop("answer")  # this model repeats what it was shown
    assert name not in "".join([*sent[:-1], json.dumps(ended), _without_text(json.dumps(answer))])


def test_the_name_of_a_document_that_an_answer_has_only_seen_is_masked_wherever_the_answer_is_shown(
    world: World,
) -> None:
    scope = [world.add_open(f"wind-{number}.md", LONG.format(n=number, word="")) for number in range(3)]
    document = world.add_open("quagvoxle.md", "Apples and pears.\n")
    scope.append(document)
    answer = world.ask("eve", "direct", conversation="new", documents=scope)
    run = world.ask("eve", "direct", background=True, budget={"calls": 20}, documents=scope)
    at = f"/v1/runs/{run['id']}"
    world.wait_for(at, "eve")
    shares = [
        world.http.post("/v1/shares", json=body, headers=world.of("eve")).json()["id"]
        for body in ({"conversation": answer["conversation"]}, {"run": run["id"]})
    ]
    places = [
        f"/v1/answers/{answer['id']}",
        f"/v1/answers/{answer['id']}?render=html&render=mrkdwn",
        f"/v1/conversations/{answer['conversation']}",
        f"/v1/conversations/{answer['conversation']}/export",
        f"/v1/conversations/{answer['conversation']}/export?form=json",
        f"{at}/export?form=markdown",
        f"{at}/export",
        f"{at}/events",
        at,
        *(f"/v1/shared/{each}" for each in shares),
    ]

    def list_answers() -> list[str]:
        found = [world.http.get(each, headers=world.of("eve")) for each in places]
        assert {each.status_code for each in found} == {200}
        return [each.text.replace("\\", "") for each in found]

    def find_by_name() -> list[str]:
        found = world.http.get("/v1/conversations", params={"search": "Quagvoxle"}, headers=world.of("eve"))
        return [each["id"] for each in found.json()["conversations"]]

    assert all("quagvoxle.md" in each for each in list_answers())
    assert find_by_name() == [answer["conversation"]]
    world.change(document, readers=["user:bob"])
    assert find_by_name() == []
    for text in list_answers():
        assert "quagvoxle" not in text.lower()
        assert "a document" in text
        assert "withheld: based" not in text
    world.ask("eve", "direct", conversation=answer["conversation"], documents=scope)
    world.change(document, readers=None)
    assert all("quagvoxle.md" in each for each in list_answers()[:2])
    assert find_by_name() == [answer["conversation"]]
    assert world.http.delete(f"/v1/documents/{document}", headers=world.of("admin")).status_code == 200
    del world.readers[document]
    for text in list_answers():
        assert "quagvoxle" not in text.lower()
        assert "withheld: based" not in text
    assert find_by_name() == []
    assert "a deleted document" in list_answers()[0]


def test_conversations_and_answers_are_their_askers(world: World) -> None:
    answer = world.ask("eve", "direct", conversation="new")
    talk = f"/v1/conversations/{answer['conversation']}"
    for other in ("bob", "robot"):
        for method, path in (
            ("GET", f"/v1/answers/{answer['id']}"),
            ("GET", f"/v1/answers/{answer['id']}/rows"),
            ("DELETE", f"/v1/answers/{answer['id']}"),
            ("GET", talk),
            ("DELETE", talk),
        ):
            assert world.http.request(method, path, headers=world.of(other)).status_code == 404
        body = {"question": "And then?", "conversation": answer["conversation"]}
        assert world.http.post("/v1/answers", json=body, headers=world.of(other)).status_code == 404
        assert answer["conversation"] not in world.http.get("/v1/conversations", headers=world.of(other)).text
    assert world.http.get(talk, headers=world.of("eve")).json()["turns"][0]["answer"]["id"] == answer["id"]


def test_a_closed_document_answers_as_an_unknown_one_on_every_route_of_documents(world: World) -> None:
    document = world.hidden("cy")[0]
    paths = world.http.app.openapi()["paths"]  # type: ignore[attr-defined]
    routes = [
        (method.upper(), path, {each["name"] for each in described.get("parameters", ())})
        for path, methods in paths.items()
        for method, described in methods.items()
        if "{document_id}" in path and "batch" not in path
    ]
    assert len(routes) >= 9
    for method, path, known in routes:
        answers = []
        for identifier in (document, "00000000-0000-5000-8000-000000000000"):
            response = world.http.request(
                method,
                re.sub(r"\{\w+\}", "1", path.replace("{document_id}", identifier)),
                params={name: value for name, value in {"start": 0, "end": 1}.items() if name in known},
                headers=world.of("cy", **{"If-Match": "*"}),
                **({"json": {"title": "x"}} if method == "PATCH" else {"content": b"x"} if method == "PUT" else {}),
            )
            body = response.json()
            answers.append((response.status_code, body["code"], body["detail"].replace(identifier, ""), body["hint"]))
        assert answers[0] == answers[1], (method, path)
        # Only an admin may ask who can read a document, so everyone else gets the same answer for any document.
        assert answers[0][0] == (403 if path.endswith("/access") else 404), (method, path)
    assert document not in world.http.get("/v1/documents", headers=world.of("cy"), params={"limit": 500}).text
    counted = world.http.get("/v1/status", headers=world.of("cy")).json()["documents"]
    assert sum(counted.values()) == sum(world.sees("cy", each) for each in world.readers)


def test_a_narrowing_is_effective_when_it_answers_although_the_index_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, word = next((d, w) for d, w in world.words.items() if w)
    world.change(document, readers=["user:eve", "user:bob"])
    for _ in range(2):  # the second from the cache
        assert [hit["document"] for hit in world.search("bob", query=word, mode="bm25")] == [document]
    monkeypatch.setattr(world.services, "work", replace(world.services.work, settle=lambda _: False))
    world.change(document, readers=["user:eve"])
    assert world.search("bob", query=word, mode="bm25") == []
    assert [hit["document"] for hit in world.search("eve", query=word, mode="bm25")] == [document]
    assert document in world.services.documents.catalog.list_unsynced_readers()
    monkeypatch.undo()
    world.change(document, metadata={"year": 1809})
    assert world.services.documents.catalog.list_unsynced_readers() == []


def test_an_upload_closes_a_document_before_anybody_can_find_it(world: World) -> None:
    file = ("hr.md", b"# Pay\n\nzqpay")
    form: dict[str, Any] = {
        "readers": (None, '["group:hr"]'),
        "metadata": (None, '{"year": 1700}'),
        "file": file,
    }
    response = world.http.post("/v1/documents", files=form, headers=world.of("eve"))
    document = response.json()["id"]
    assert (response.status_code, response.json()["readers"]) == (202, ["group:hr"])
    world.readers[document], world.metadata[document], world.words[document] = {"group:hr"}, {"year": 1700}, ""
    world.names[document] = {"hr.md", "zqpay"}
    until = time.monotonic() + 120
    while world.services.jobs.count_unfinished_jobs().get(JobKind.INGEST) and time.monotonic() < until:
        assert world.search("bob", query="zqpay", mode="bm25") == []
    assert [hit["document"] for hit in world.search("eve", query="zqpay", mode="bm25")] == [document]
    again = world.http.post("/v1/documents", files={"file": file}, headers=world.of("bob"))
    assert (again.status_code, again.json()["id"] != document) == (202, True)
    shut = world.http.post("/v1/documents", params={"readers": "user:bob"}, content=b"x", headers=world.of("eve"))
    assert (shut.status_code, shut.json()["code"]) == (422, "metadata_invalid")


def test_a_change_needs_the_state_it_means_and_gives_a_new_one(world: World) -> None:
    document = next(each for each in world.readers if world.sees("eve", each))
    path = f"/v1/documents/{document}"
    tag = world.http.get(path, headers=world.of("eve")).headers["etag"]
    assert (
        world.http.patch(path, json={"title": "New"}, headers=world.of("eve")).json()["code"] == "precondition_required"
    )
    changed = world.http.patch(
        path, json={"title": "New", "metadata": {"by": "eve"}}, headers=world.of("eve", **{"If-Match": tag})
    )
    assert (changed.status_code, changed.json()["title"], changed.json()["metadata"]["by"]) == (200, "New", "eve")
    assert changed.headers["etag"] != tag
    late = world.http.patch(path, json={"title": "Old"}, headers=world.of("eve", **{"If-Match": tag}))
    assert late.json()["code"] == "precondition_failed"
    same = world.http.get(f"{path}/original", headers=world.of("eve")).content
    params = {"collection": changed.json()["collection"], "metadata": '{"by": "bob"}'}
    again = world.http.post("/v1/documents", params=params, content=same, headers=world.of("eve"))
    assert (again.status_code, again.json()["kept"], again.json()["metadata"]["by"]) == (200, ["metadata"], "eve")
    assert "PATCH" in again.json()["hint"]


@pytest.mark.parametrize("strategy", ["direct", "table", "recursive"])
def test_who_reads_by_a_link_sees_nothing_of_documents_that_are_closed_to_the_reader(
    world: World, strategy: str
) -> None:
    talk = world.ask("admin", strategy, conversation="new")["conversation"]
    run = world.ask("admin", strategy, background=True, budget={"calls": 20})["id"]
    world.wait_for(f"/v1/runs/{run}", "admin")
    shown = 0
    for body in ({"conversation": talk}, {"run": run}):
        made = world.http.post("/v1/shares", json=body, headers=world.of("admin"))
        assert made.status_code == 201, made.text
        path = f"/v1/shared/{made.json()['id']}"
        for person in PERSONS:
            read = world.http.get(path, headers=world.of(person))
            assert read.status_code == 200, read.text
            world.require_no_trace(person, read.text)
            shown += "withheld: based on" in read.text
        if "run" in body:
            for person in PERSONS:
                world.require_no_trace(person, world.http.get(f"{path}/events", headers=world.of(person)).text)
    assert shown >= len([each for each in PERSONS if world.hidden(each)])
