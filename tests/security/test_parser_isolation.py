"""Hostile code in the process of a document: what it reaches of the machine, the service and other documents."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.parsing.errors import ParseError
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.types import Isolation
from ingest.storage.errors import IngestError
from tests.support.hostile_parsers import COMMAND
from tests.support.parsing import assert_still_parses, parse_as

REFUSED = {"Operation not permitted", "Permission denied", "Invalid cross-device link", "Function not implemented"}


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[ParserSandbox]:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with ParserSandbox(command=COMMAND, scratch_folder=scratch, isolation=Isolation.REQUIRE) as sandbox:
        yield sandbox


def test_hostile_code_reaches_no_file_no_network_and_no_process(isolated: ParserSandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("sesame")
    with socket.create_server(("127.0.0.1", 0)) as server:
        asked = {"service": os.getpid(), "secret": str(secret), "port": server.getsockname()[1]}
        done = json.loads(parse_as(isolated, tmp_path, "test/reach", json.dumps(asked).encode()).text)
        server.settimeout(0)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert len(done) == 42
    assert {name: what for name, what in done.items() if what not in REFUSED} == {}
    assert secret.read_text() == "sesame"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "scratch", "secret"]


def test_nothing_of_a_document_is_left_for_the_next(isolated: ParserSandbox, tmp_path: Path) -> None:
    """The next one may be another tenant's."""
    assert [parse_as(isolated, tmp_path, "test/hoard").text for _ in range(3)] == ["found []"] * 3


def test_the_products_own_parsers_work_confined(isolated: ParserSandbox, tmp_path: Path) -> None:
    assert_still_parses(isolated, tmp_path)
    assert isolated.list_confinements() == ("Landlock", "seccomp")


def test_a_machine_that_cannot_isolate_parses_nothing_if_isolation_is_required(
    tmp_path: Path,
) -> None:
    said = json.dumps({"id": 0, "confined": ["seccomp"]})
    poor = (sys.executable, "-c", f"print({said!r}, flush=True); input()")
    with (
        ParserSandbox(command=poor, scratch_folder=tmp_path, isolation=Isolation.REQUIRE) as sandbox,
        pytest.raises(IngestError, match="lacks Landlock") as raised,
    ):
        parse_as(sandbox, tmp_path, "text/plain")
    assert not isinstance(raised.value, ParseError)
    assert "LEADLINE_PARSER_ISOLATION=best" in raised.value.hint
