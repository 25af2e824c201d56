"""Hostile programs in both forms of the sandbox: nothing happens on the host, and each comes to an end."""

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from rlm.errors import SandboxLostError
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxLimits, Tool
from tests.security.hostile_programs import hostile_programs
from tests.support.requirements import SANDBOX_FORMS

SMALL = SandboxLimits(
    memory_bytes=32 * 1024**2,
    cell_seconds=0.2,
    grace_seconds=2.0,  # twice as long, and the cell's time, is also what a busy machine has to reply in
    calls=200,
    output_chars=2_000,
    error_chars=1_000,
)
SECRET = "canary-7f3a91"
PROGRAMS = hostile_programs()
THEMES = sorted({theme for theme, _ in PROGRAMS})


@dataclass(frozen=True)
class Host:
    """What a program must leave as it is; `places` are empty folders that the host works in and calls its home."""

    folder: Path
    places: tuple[Path, Path]
    environment: dict[str, str]
    connections: list[object]
    port: int

    def program(self, code: str) -> str:
        places = {"{file}": str(self.folder / "secret"), "{target}": str(self.folder / "new"), "{port}": str(self.port)}
        for name, value in places.items():
            code = code.replace(name, value)
        return code

    def untouched(self) -> bool:
        secret = self.folder / "secret"
        return (
            [each.name for each in self.folder.iterdir()] == ["secret"]
            and secret.read_text() == SECRET
            and secret.stat().st_mode & 0o777 == 0o600
            and not any(list(place.iterdir()) for place in self.places)
            and {**os.environ, "PYTEST_CURRENT_TEST": ""} == {**self.environment, "PYTEST_CURRENT_TEST": ""}
            and not self.connections
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A secret in a file and in the environment, and a listener that remembers who came."""
    places = tmp_path / "work", tmp_path / "home"
    for place in places:
        place.mkdir()
    monkeypatch.chdir(places[0])
    monkeypatch.setenv("HOME", str(places[1]))
    monkeypatch.setenv("LEADLINE_CANARY", SECRET)
    folder = tmp_path / "host"
    folder.mkdir()
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    connections: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        done = threading.Event()

        def accept() -> None:
            while not done.is_set():
                try:
                    connections.append(listener.accept())
                except TimeoutError:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        # Pytest writes the test's name there, and its phase.
        environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
        yield Host(folder, places, environment, connections, listener.getsockname()[1])
        done.set()
        thread.join()


@pytest.fixture(params=SANDBOX_FORMS)
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    before = descendants()
    made = build_sandbox(request.param, SMALL)
    yield made
    made.close()
    left = [each for each in descendants() - before if each.status() != psutil.STATUS_ZOMBIE]
    _, alive = psutil.wait_procs(left, timeout=120)
    assert not alive


def descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _fails() -> None:
    raise OSError(f"/srv/{SECRET}")


@pytest.mark.parametrize("theme", THEMES)
def test_hostile_programs_do_nothing_to_the_host_and_come_to_an_end(sandbox: Sandbox, host: Host, theme: str) -> None:
    tools: dict[str, Tool] = {"llm_query": lambda prompt: f"A{len(str(prompt))}", "fails": _fails}
    for code in [host.program(code) for each, code in PROGRAMS if each == theme]:
        session = sandbox.open(tools)
        try:
            cell = session.run(code)
        except SandboxLostError as error:
            said = f"{error.detail} {error.hint}"
        else:
            said = f"{cell.output} {cell.error}"
            assert len(cell.output) <= SMALL.output_chars + 200, code
            assert len(cell.error or "") <= SMALL.error_chars + 500, code
        finally:
            session.close()
        assert SECRET not in said, code
        assert host.untouched(), code
    after = sandbox.open({})
    assert after.run("1 + 1").output == "2\n"
    after.close()


def test_there_are_at_least_150_of_them() -> None:
    assert len(set(PROGRAMS)) >= 150
