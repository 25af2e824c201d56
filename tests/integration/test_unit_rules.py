"""The rules of unit tests: one that breaks a rule fails and names the next step, and one that keeps them passes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.support.unit_rules import Rule

_ROOT = Path(__file__).parents[2]
# Statements of a test's body.
_BREAKS = {
    "connects": (Rule.SOCKET, "socket.create_connection(('127.0.0.1', 9))"),
    "looks_up_a_name": (Rule.SOCKET, "socket.getaddrinfo('localhost', 80)"),
    "listens": (Rule.SOCKET, "socket.create_server(('127.0.0.1', 0))"),
    "listens_at_a_path": (Rule.SOCKET, "socket.socket(socket.AF_UNIX).bind('x')"),
    "connects_to_a_path": (Rule.SOCKET, "socket.socket(socket.AF_UNIX).connect('x')"),
    "sends_a_datagram": (Rule.SOCKET, "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))"),
    "starts_a_program": (Rule.PROCESS, "subprocess.run(['true'])"),
    "starts_a_program_in_a_loop": (Rule.PROCESS, "asyncio.run(asyncio.create_subprocess_exec('true'))"),
    "starts_a_shell": (Rule.PROCESS, "os.system('true')"),
    "spawns_a_program": (Rule.PROCESS, "os.spawnv(os.P_WAIT, '/bin/true', ['true'])"),
    "spawns_as_posix_does": (Rule.PROCESS, "os.posix_spawn('/bin/true', ['true'], {})"),
    "forks": (Rule.PROCESS, "os.fork() or os._exit(0)"),
    "becomes_another_program": (Rule.PROCESS, "os.execv('/bin/true', ['true'])"),
    "forks_by_multiprocessing": (Rule.PROCESS, "multiprocessing.get_context('fork').Process(target=print).start()"),
    "spawns_by_multiprocessing": (Rule.PROCESS, "multiprocessing.get_context('spawn').Process(target=print).start()"),
    "opens_a_sandbox": (Rule.PROCESS, "build_sandbox(SandboxIsolation.PLAIN).open({})"),
    "sleeps": (Rule.SLEEP, "time.sleep(0.02)"),
    "sleeps_in_a_loop": (Rule.SLEEP, "asyncio.run(asyncio.sleep(0.02))"),
    "sleeps_in_a_thread": (Rule.SLEEP, "run_in_thread(lambda: time.sleep(0.02))"),
    "reads_a_model": (Rule.MODEL, "(Settings().models / 'a.gguf').read_bytes()"),
    "loads_a_model": (Rule.MODEL, "openvino.Core().read_model('a.onnx')"),
    "catches_what_fails_it": (Rule.PROCESS, "with contextlib.suppress(BaseException): os.system('true')"),
}
_FIXTURES = {
    "the_encoder": (Rule.MODEL, "encoder_files"),
    "the_language_model": (Rule.MODEL, "local_model"),
    "a_fixture_that_sleeps": (Rule.SLEEP, "sleeping"),
    "a_fixture_that_sleeps_at_its_end": (Rule.SLEEP, "sleeping_at_its_end"),
}
_KEEPS = {
    "runs_a_loop": "asyncio.run(asyncio.sleep(0))",
    "gives_others_a_turn": "time.sleep(0.001)",
    "cancels_a_timer": "asyncio.run(cancel_a_timer())",
    "replaces_sleep": "monkeypatch.setattr(time, 'sleep', lambda seconds: None); time.sleep(60)",
    "has_a_pair_of_sockets": "[each.close() for each in socket.socketpair()]",
    "reads_another_file": "Path(__file__).read_bytes()",
    "waits_for_an_event": "done = threading.Event(); run_in_thread(done.set); assert done.wait(60)",
}
_UNIT_TESTS = """
import asyncio, contextlib, multiprocessing, os, socket, subprocess, threading, time
from pathlib import Path
import openvino, pytest
from api.settings.settings import Settings
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import SandboxIsolation

def run_in_thread(work):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

async def cancel_a_timer():
    timer = asyncio.ensure_future(asyncio.sleep(60))
    await asyncio.sleep(0)
    timer.cancel()

@pytest.fixture
def sleeping():
    time.sleep(0.02)

@pytest.fixture
def sleeping_at_its_end():
    yield
    time.sleep(0.02)
"""
# What tests of other folders leave running in the same process breaks no rule of a unit test.
_OTHER_TESTS = """
import subprocess, threading, time
import pytest

def sleep_again_and_again():
    while True:
        time.sleep(0.02)

@pytest.fixture(scope="session")
def server():
    threading.Thread(target=sleep_again_and_again, daemon=True).start()
    yield
    subprocess.run(["true"], check=True)

def test_elsewhere(server):
    subprocess.run(["true"], check=True)
"""


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each test of a run said when it failed; the empty text of one that passed."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "unit").mkdir()
    shutil.copy(_ROOT / "tests" / "unit" / "conftest.py", folder / "unit")
    (folder / "test_elsewhere.py").write_text(_OTHER_TESTS)
    bodies = {name: ("", body) for name, (_, body) in _BREAKS.items()}
    bodies |= {name: (fixture, "pass") for name, (_, fixture) in _FIXTURES.items()}
    bodies |= {name: ("monkeypatch", body) for name, body in _KEEPS.items()}  # last: the server ends with one of these
    tests = (f"def test_{name}({fixtures}):\n    {body}\n" for name, (fixtures, body) in bodies.items())
    (folder / "unit" / "test_rules.py").write_text("\n".join((_UNIT_TESTS, *tests)))
    environment = {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "LEADLINE_MODELS": str(folder / "models"),
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--junitxml=report.xml"]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1, done.stdout
    failed: dict[str, str] = {}
    for case in ElementTree.parse(folder / "report.xml").iter("testcase"):
        said = "\n".join(each.text or "" for each in case if each.tag in ("failure", "error"))
        failed[case.attrib["name"]] = failed.get(case.attrib["name"], "") + said
    return failed


@pytest.mark.parametrize(("name", "rule"), [(name, rule) for name, (rule, _) in {**_BREAKS, **_FIXTURES}.items()])
def test_a_unit_test_that_breaks_a_rule_fails_and_says_what_to_do(
    failures: dict[str, str], name: str, rule: Rule
) -> None:
    assert rule.value in failures[f"test_{name}"]
    assert "move the test to the same path under tests/integration" in rule.value


@pytest.mark.parametrize("name", [*_KEEPS, "elsewhere"])
def test_a_test_that_keeps_the_rules_passes(failures: dict[str, str], name: str) -> None:
    assert failures[f"test_{name}"] == ""
