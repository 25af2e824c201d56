"""Somebody who can write the store of files changes texts and originals: nothing changed is served as a document's.

The service is a real one, over a folder and over a bucket, with plain files and with sealed ones.
"""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.admission.services import DEFAULT_TENANT, Services
from api.build.language_model import RemoteLanguageModel
from ingest.storage.blobs.bucket import open_bucket
from ingest.storage.blobs.keyring import generate_key
from ingest.storage.blobs.store import BlobStore, DirectoryBlobs
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.operations.backup import create_backup, verify_backup, verify_stored_files
from ingest.storage.operations.copying import CatalogCopies
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.cluster import wait_until
from tests.support.s3_server import bucket_environment, bucket_settings, s3_server
from tests.support.scripted_openai import scripted_openai
from tests.support.service import listening, running

_SALARY = re.compile(r"The yearly salary of \w+ is \d+ crowns")
_names = count()


def quiet(*_: object) -> None:
    return None


def write(request: dict[str, Any]) -> str:
    """Answer with the salary that stands in a passage, quoted, as a model does that makes no mistake."""
    prompt = str(request["messages"][-1]["content"])
    found = _SALARY.search(prompt)
    if found is None:
        return 'The documents do not say.\n<support answered="no">\n</support>'
    number = re.findall(r"^BEGIN passage (\d+)", prompt[: found.start()], re.MULTILINE)[-1]
    return f'{found[0]} [{number}].\n<support answered="yes">\n[{number}] "{found[0]}"\n</support>'


@dataclass(frozen=True)
class Uploaded:
    """A document of a tenant: its id, and the keys of its files in the store."""

    person: str
    id: str
    original: str
    text: str
    http: httpx.Client

    @property
    def sentence(self) -> str:
        return f"The yearly salary of {self.person} is 52000 crowns"

    def content(self) -> httpx.Response:
        return self.http.get(f"/v1/documents/{self.id}/content")

    def search(self) -> tuple[list[str], list[str]]:
        """The texts of the hits, and the documents that could not be read.

        No query is sent twice: the cache may know a result with the words that the document had, and shows those.
        """
        found = self.http.post("/v1/search", json={"query": f"salary of {self.person} {next(_names)}"})
        assert found.status_code == 200, found.text
        hits = [hit["text"] for hit in found.json()["hits"]]
        return hits, [each["document"] for each in found.json().get("unreadable", [])]

    def answer(self) -> dict[str, Any]:
        asked = {"question": f"What is the salary of {self.person}?", "documents": [self.id]}
        answer = self.http.post("/v1/answers", json=asked)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@dataclass(frozen=True)
class Trial:
    """A running service, the store below it as an intruder sees it, and the two tenants' clients."""

    services: Services
    raw: BlobStore
    home: Path
    one: httpx.Client
    two: httpx.Client
    is_sealed: bool

    def upload(self, http: httpx.Client) -> Uploaded:
        person = f"Person{next(_names)}"
        content = f"# Contract\n\nThe yearly salary of {person} is 52000 crowns, paid each month.\n".encode()
        made = http.post("/v1/documents", params={"name": f"{person}.md"}, content=content).json()["id"]
        wait_until(lambda: http.get(f"/v1/documents/{made}").json()["state"] == "ready", what="it is ready")
        tenant = DEFAULT_TENANT if http is self.one else "two"
        version = self.services.documents.catalog.load_document(tenant, made).version
        return Uploaded(person, made, version.blob_key, f"text/{version.id[:2]}/{version.id}.txt", http)

    @contextmanager
    def changed(self, **contents: bytes) -> Iterator[None]:
        """Put other bytes under keys, whose slashes are written as two underscores, and put them back at the end."""
        keys = {name.replace("__", "/"): content for name, content in contents.items()}
        before = {key: self.raw.read(key) for key in keys}
        for key, content in keys.items():
            self.raw.put(key, content)
            self._discard_copy(key)
        try:
            yield
        finally:
            for key, content in before.items():
                self.raw.put(key, content)
                self._discard_copy(key)

    def _discard_copy(self, key: str) -> None:
        """Delete the local copies of a file. They have the text as it was, so a change in the bucket is not noticed."""
        copies = self.services.contents.blobs.copies
        if copies is not None:
            copies.discard(key)

    def exchanged(self, first: str, second: str) -> Any:  # noqa: ANN401 - a context manager
        contents = {first: self.raw.read(second), second: self.raw.read(first)}
        return self.changed(**{key.replace("/", "__"): content for key, content in contents.items()})

    def put(self, key: str, content: bytes) -> Any:  # noqa: ANN401 - a context manager
        return self.changed(**{key.replace("/", "__"): content})

    def verify(self) -> str:
        with closing_engine(self.home) as catalog:
            return "\n".join(verify_stored_files(catalog, self.services.contents.blobs, quiet))

    def verify_backup(self, folder: Path) -> tuple[tuple[str, ...], str]:
        """What a backup says was damaged while it was made, and what is found when it is verified."""
        with closing_engine(self.home) as catalog:
            made = create_backup(catalog, self.services.contents.blobs, folder, quiet, use_links=False)
        return (*made.damaged, *made.lost), "\n".join(verify_backup(folder, quiet))


@contextmanager
def closing_engine(home: Path) -> Iterator[CatalogCopies]:
    engine = open_database(build_sqlite_url(home / "catalog.sqlite"))
    with closing(engine.raw_connection()):
        yield CatalogCopies(engine)
    engine.dispose()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        yield url


@pytest.fixture(scope="module", params=["folder", "bucket", "sealed folder", "sealed bucket"])
def trial(request: pytest.FixtureRequest, server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    home, prefix = tmp_path_factory.mktemp("home"), request.param.replace(" ", "-")
    is_sealed, is_bucket = "sealed" in request.param, "bucket" in request.param
    keys = {"blob_keys": generate_key()} if is_sealed else {}
    settings = {**(bucket_environment(server, prefix) if is_bucket else {}), **keys, "check": "quotes"}
    raw: BlobStore = DirectoryBlobs(home / "blobs")
    if is_bucket:
        raw = open_bucket(bucket_settings(server, prefix), tmp_path_factory.mktemp("raw"))
    profile = ModelProfile("scripted", 32_000, 4_000)
    with scripted_openai(write, window_tokens=32_000) as models:
        model = RemoteLanguageModel(models.url, ChatModel(build_remote_chat_model(models.url, profile), profile))
        with running(home, language_model=model, **settings) as (services, _), listening(services) as (url, key):
            services.documents.catalog.ensure_tenant("two")
            _, other = services.keys.issue_key("two", "a test")
            one, two = (
                httpx.Client(base_url=url, headers={"Authorization": f"Bearer {each}"}, timeout=120)
                for each in (key, other)
            )
            with one, two:
                yield Trial(services, raw, home, one, two, is_sealed)


def require_refused(document: Uploaded, foreign: str) -> None:
    """Nothing is served under the document's name but an error, and the answer has no quotation."""
    content = document.content()
    assert (content.status_code, foreign in content.text) == (500, False), content.text
    assert content.json()["code"] == "content_changed"
    assert document.id in content.json()["detail"]
    assert "leadline verify" in content.json()["hint"]
    hits, unreadable = document.search()
    assert [text for text in hits if foreign in text or document.person in text] == []
    assert document.id in unreadable
    answer = document.answer()
    assert foreign not in answer["text"]
    assert [each for each in answer["sentences"] if each["check"] == "quoted"] == []
    assert [note for note in answer["notes"] if document.id in note]


def require_served(document: Uploaded) -> None:
    assert document.sentence in document.content().text
    hits, unreadable = document.search()
    assert (document.sentence in "".join(hits), unreadable) == (True, [])
    answer = document.answer()
    assert document.sentence in answer["text"]
    assert [each["check"] for each in answer["sentences"]] == ["quoted"]
    assert answer["notes"] == []


def test_texts_that_were_exchanged_between_tenants_are_served_to_neither(trial: Trial, tmp_path: Path) -> None:
    ours, theirs = trial.upload(trial.one), trial.upload(trial.two)
    require_served(theirs)
    with trial.exchanged(ours.text, theirs.text):
        require_refused(theirs, ours.person)
        require_refused(ours, theirs.person)
        said = trial.verify()
        assert ours.text in said
        assert theirs.text in said
        damaged, found = trial.verify_backup(tmp_path / "backup")
        assert set(damaged) == {ours.text, theirs.text}
        assert ours.text in found
        assert theirs.text in found
    require_served(theirs)
    assert trial.verify() == ""


def test_one_digit_of_a_text_that_was_changed_is_neither_shown_nor_quoted(trial: Trial, tmp_path: Path) -> None:
    document = trial.upload(trial.one)
    stored = trial.raw.read(document.text)
    planted = stored.replace(b"52000", b"92000") if not trial.is_sealed else stored[:-20] + b"?" + stored[-19:]
    assert planted != stored
    with trial.put(document.text, planted):
        require_refused(document, "92000")
        assert document.text in trial.verify()
        damaged, found = trial.verify_backup(tmp_path / "backup")
        assert damaged == (document.text,)
        assert document.text in found
    require_served(document)


def test_plain_bytes_in_the_place_of_a_text_are_not_its_words(trial: Trial, tmp_path: Path) -> None:
    document = trial.upload(trial.one)
    planted = f"# Contract\n\nThe yearly salary of {document.person} is 92000 crowns, paid each month.\n".encode()
    with trial.put(document.text, planted):
        require_refused(document, "92000")
        assert document.text in trial.verify()
        damaged, found = trial.verify_backup(tmp_path / "backup")
        assert damaged == (document.text,)
        assert document.text in found


def test_a_text_that_was_cut_short_is_not_served_as_a_shorter_one(trial: Trial, tmp_path: Path) -> None:
    document = trial.upload(trial.one)
    stored = trial.raw.read(document.text)
    with trial.put(document.text, stored[: len(stored) - 12]):
        require_refused(document, "92000")
        assert document.text in trial.verify()
        damaged, found = trial.verify_backup(tmp_path / "backup")
        assert damaged == (document.text,)
        assert document.text in found


def test_originals_that_were_exchanged_are_downloaded_by_nobody(trial: Trial, tmp_path: Path) -> None:
    ours, theirs = trial.upload(trial.one), trial.upload(trial.two)
    whole = theirs.http.get(f"/v1/documents/{theirs.id}/original")
    assert theirs.sentence in whole.text
    with trial.exchanged(ours.original, theirs.original):
        for headers in ({}, {"Range": "bytes=2-30"}):
            refused = theirs.http.get(f"/v1/documents/{theirs.id}/original", headers=headers)
            assert (refused.status_code, ours.person in refused.text) == (500, False)
            assert refused.json()["code"] == "content_changed"
        said = trial.verify()
        assert ours.original in said
        assert theirs.original in said
        damaged, found = trial.verify_backup(tmp_path / "backup")
        assert set(damaged) == {ours.original, theirs.original}
        assert theirs.original in found
    assert theirs.http.get(f"/v1/documents/{theirs.id}/original").text == whole.text


def test_a_search_and_an_answer_over_more_documents_go_on_without_the_one_that_was_changed(trial: Trial) -> None:
    collection = {"collection": f"c{next(_names)}"}
    documents = []
    for _ in range(3):
        person = f"Person{next(_names)}"
        content = f"# Contract\n\nThe yearly salary of {person} is 52000 crowns, paid each month.\n".encode()
        made = trial.one.post("/v1/documents", params={"name": f"{person}.md", **collection}, content=content)
        documents.append((person, made.json()["id"]))
    wait_until(
        lambda: all(trial.one.get(f"/v1/documents/{each}").json()["state"] == "ready" for _, each in documents),
        what="they are ready",
    )
    person, changed = documents[1]
    version = trial.services.documents.catalog.load_document(DEFAULT_TENANT, changed).version
    with trial.put(f"text/{version.id[:2]}/{version.id}.txt", b"planted"):
        found = trial.one.post("/v1/search", json={"query": "salary", "collections": [collection["collection"]]}).json()
        assert {hit["document"] for hit in found["hits"]} == {each for _, each in documents} - {changed}
        assert [each["document"] for each in found["unreadable"]] == [changed]
        asked = {"question": "What are the salaries?", "collections": [collection["collection"]]}
        answer = trial.one.post("/v1/answers", json=asked).json()
        assert "52000" in answer["text"]
        assert person not in answer["text"]
        assert [note for note in answer["notes"] if changed in note]
    found = trial.one.post("/v1/search", json={"query": "salary", "collections": [collection["collection"]]}).json()
    assert ({hit["document"] for hit in found["hits"]}, found["unreadable"]) == ({each for _, each in documents}, [])
