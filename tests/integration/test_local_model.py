"""The local language model's process: its life, its secrets, and several who ask at once."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm.llm.chat_models import build_local_chat_model
from rlm.llm.local.process import LocalModelProcess
from rlm.llm.profiles import LOCAL_QWEN
from tests.support.chats import AskedChat

# A stand-in for the server: listens, and prints its environment; dies when the file `die` is there.
CHILD = """
import os, pathlib, socketserver, sys, threading
socket, folder = sys.argv[sys.argv.index("--uds") + 1], pathlib.Path(sys.argv[1])
print(dict(os.environ), flush=True)
(folder / "starts").open("a").write("x")
pathlib.Path(socket).unlink(missing_ok=True)
server = socketserver.ThreadingUnixStreamServer(socket, socketserver.BaseRequestHandler)
def watch():
    import time
    while not (folder / "die").exists(): time.sleep(0.02)
    os._exit(3)
threading.Thread(target=watch, daemon=True).start()
server.serve_forever()
"""


@pytest.fixture
def model(local_model: LocalModelProcess) -> Iterator[AskedChat]:
    made = AskedChat(build_local_chat_model(local_model.socket, LOCAL_QWEN))
    yield made
    made.close()


def stand_in(folder: Path) -> LocalModelProcess:
    return LocalModelProcess(Path("unused"), folder / "log", command=[sys.executable, "-c", CHILD, str(folder)])


def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    process = stand_in(tmp_path)
    assert process.wait_until_ready(120).state == "ready"
    (tmp_path / "die").touch()
    while process.get_state().state == "ready":
        time.sleep(0.02)
    (tmp_path / "die").unlink()
    assert process.wait_until_ready(120).state == "ready"
    assert (tmp_path / "starts").read_text() >= "xx"
    process.close()
    assert process.get_state().state == "stopped"


def test_a_child_gets_no_secret_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEADLINE_LLM_API_KEY", "sk-very-secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "sk-other")
    process = stand_in(tmp_path)
    assert process.wait_until_ready(120).state == "ready"
    process.close()
    log = (tmp_path / "log").read_text()
    assert "PATH" in log
    assert "sk-very-secret" not in log
    assert "sk-other" not in log


def test_a_file_that_is_no_model_fails_with_its_reason(tmp_path: Path) -> None:
    model = tmp_path / "broken.gguf"
    model.write_bytes(b"GGUF" + bytes(100))
    process = LocalModelProcess(model, tmp_path / "log")
    state = process.wait_until_ready(120)
    process.close()
    assert state.state == "failed"
    assert "models" in state.hint


def test_the_server_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from rlm.llm.local.process import LocalModelProcess\n"
        f"process = LocalModelProcess(Path('none.gguf'), Path({str(tmp_path / 'log')!r}))\n"
        "while process._child is None: time.sleep(0.01)\n"
        "print(process._child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    child = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 120
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_several_at_once_all_get_their_own_answer(model: AskedChat) -> None:
    words = ["anchor", "rudder", "lantern", "compass", "hammock", "barrel"]
    asked = [f"Reply with this one word and nothing else: {word}" for word in words]
    answers = model.invoke_all(asked, max_tokens=8)
    found = {word: answer.text for word, answer in zip(words, answers, strict=True)}
    assert {word: word in found[word].casefold() for word in words} == dict.fromkeys(words, True)


def test_the_socket_is_this_users_alone(local_model: LocalModelProcess) -> None:
    assert local_model.socket.parent.stat().st_mode & 0o077 == 0
    assert local_model.socket.stat().st_uid == os.getuid()
