"""Documents on the command line, with a private service on a folder."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import api.cli.ask
import api.cli.documents
import api.cli.ingest
import api.cli.search
from api.cli.filters import parse_attributes
from api.client import Client
from tests.support.service import running

Run = Callable[..., str]


@pytest.fixture
def leadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """A command by its module and words; its output."""
    with running(tmp_path / "home") as (_, client):

        @contextmanager
        def connect(_: object, *, creates: bool = False) -> Iterator[Client]:
            yield client

        app = typer.Typer()
        for module in (api.cli.ask, api.cli.documents, api.cli.ingest, api.cli.search):
            monkeypatch.setattr(module, "open_client", connect)
            monkeypatch.setattr(module, "read_settings", lambda: None)
        for command in (api.cli.ask.ask, api.cli.ingest.ingest, api.cli.search.search):
            app.command(command.__name__)(command)
        app.add_typer(api.cli.documents.app, name="documents")

        def run(*words: str, status: int = 0) -> str:
            result = CliRunner().invoke(app, list(words), catch_exceptions=False)
            assert result.exit_code == status, result.output
            printed: str = result.stdout
            # Services log to the same stream; JSON is the last line.
            return printed.rstrip().rpartition("\n")[2] if "--json" in words else printed

        yield run


def test_a_failed_document_says_why_and_that_the_same_file_would_fail_again(leadline: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 nothing")
    said = "Upload the complete file. The same file would fail again."
    assert said in " ".join(leadline("ingest", str(tmp_path / "broken.pdf"), status=1).split())
    (document,) = json.loads(leadline("documents", "list", "--json"))
    assert said in leadline("documents", "show", document["id"])


def test_what_a_text_leaves_out_is_said_after_ingest_and_of_the_document(leadline: Run, tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("Nothing is hidden here.")
    (tmp_path / "hidden.txt").write_text("Two charac\u200bters are hid\u200bden.")
    printed = leadline("ingest", str(tmp_path / "plain.txt"), str(tmp_path / "hidden.txt"))
    assert "The text of hidden.txt lacks 2 invisible characters." in printed
    assert "plain.txt lacks" not in printed
    documents = json.loads(leadline("documents", "list", "--json"))
    shown = {each["name"]: leadline("documents", "show", each["id"]) for each in documents}
    assert "left out: 2 invisible characters" in shown["hidden.txt"]
    assert "left out" not in shown["plain.txt"]


def test_metadata_and_readers_are_given_changed_and_filtered_by(leadline: Run, tmp_path: Path) -> None:
    (tmp_path / "brine.md").write_text("# Brine\n\nTobias Brine mends nets, sails, and ropes.\n")
    leadline("ingest", str(tmp_path / "brine.md"), "--metadata", "year=1815", "--reader", "group:hr", "--json")
    (document,) = json.loads(leadline("documents", "list", "--json"))
    assert (document["metadata"], document["readers"]) == ({"year": 1815}, ["group:hr"])

    def hits(filters: str) -> list[Any]:
        found: list[Any] = json.loads(leadline("search", "Brine", "--filter", filters, "--json"))["hits"]
        return found

    assert (len(hits("year=1815")), hits("year=1816")) == (1, [])
    change = ("documents", "change", document["id"])
    leadline(*change, "--metadata", "by=Calloway", "--unset", "year", "--title", "Novel", "--everybody")
    shown = leadline("documents", "show", document["id"])
    assert 'metadata: {"by": "Calloway"}' in shown
    assert "title: Novel" in shown
    assert "readers: everyone" in shown
    assert (len(hits("by=Calloway")), hits("year=1815")) == (1, [])
    asked = ("ask", "Who mends nets?", "--json", "--filter")
    assert "Brine" in json.loads(leadline(*asked, "by=Calloway"))["text"]
    assert json.loads(leadline(*asked, "by=Tolland"))["citations"] == []
    assert "user:ann" in leadline(*change, "--reader", "user:ann", "--json")


def test_a_card_is_changed_shown_and_filtered_by(leadline: Run, tmp_path: Path) -> None:
    (tmp_path / "brine.md").write_text("# Brine\n\nTobias Brine mends nets, sails, and ropes.\n")
    leadline("ingest", str(tmp_path / "brine.md"), "--json")
    (document,) = json.loads(leadline("documents", "list", "--json"))
    card = ("documents", "card", document["id"])
    shown = leadline(*card, "--set", "kind=logbook", "--set", "periods=1815-Q2", "--set", "periods=1816")
    assert "kind: logbook (person)" in shown
    assert "periods: 1815-Q2, 1816 (person)" in shown

    def count(filters: str) -> int:
        return len(json.loads(leadline("documents", "list", "--filter", filters, "--json")))

    assert count('$card={"kind": "logbook", "periods": {"gte": 1816}}') == 1
    assert count('$card={"periods": {"gte": 1817}}') == 0
    after = json.loads(leadline(*card, "--set", "subjects=", "--remove", "kind", "--remove", "periods", "--json"))[
        "card"
    ]
    assert after["fields"]["subjects"] == []
    assert after["fields"]["kind"] == document["card"]["fields"]["kind"]
    assert "logbook" not in leadline("documents", "show", document["id"])


def test_values_are_json_or_else_texts() -> None:
    given = ["year=1815", 'tags=["a"]', "by=Ines Calloway", "is=a=b", 'range={"gte": 3}']
    assert parse_attributes(given) == {
        "year": 1815,
        "tags": ["a"],
        "by": "Ines Calloway",
        "is": "a=b",
        "range": {"gte": 3},
    }
    with pytest.raises(typer.BadParameter):
        parse_attributes(["year"])
