"""The command line as a person types it, with the real encoder and no language model."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from ingest.storage.permissions import list_exposed_paths

LEADLINE = [sys.executable, "-c", "from api.cli.main import main; main()"]


@pytest.fixture
def environment(tmp_path: Path, encoder_files: Path) -> dict[str, str]:
    names = {name: value for name, value in os.environ.items() if not name.startswith("LEADLINE_")}
    return {
        **names,
        "LEADLINE_HOME": str(tmp_path / "home"),
        "LEADLINE_MODELS": str(encoder_files),
        "LEADLINE_LLM": "none",
        "LEADLINE_MIN_FREE_BYTES": "0",
        "COLUMNS": "200",
    }


@pytest.fixture
def papers(tmp_path: Path) -> Path:
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / "whale.md").write_text("# Whales\n\nThe blue whale has a heart of four hundred pounds.\n")
    (folder / "deep" / "ships.txt").write_text("The ship Pequod sailed from Nantucket with a crew of thirty.\n")
    (folder / ".hidden").write_text("not for upload")
    return folder


def leadline(environment: dict[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*LEADLINE, *words], env=environment, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.fixture
def service(environment: dict[str, str], tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A running `leadline up` and everything it printed until it listened."""
    with (tmp_path / "up.log").open("w") as log:  # a pipe that nobody reads would hold it up when it is full
        process = subprocess.Popen(
            [*LEADLINE, "up", "--port", "0"], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout
    printed = ""
    for line in process.stdout:
        printed += line
        if "Ctrl-C" in line:
            break
    yield process, printed
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_ingest_search_and_ask_work_without_a_service(environment: dict[str, str], papers: Path) -> None:
    report = json.loads(leadline(environment, "ingest", str(papers), "--json").stdout)
    assert (report["files"], report["uploaded"], report["rejected"], report["failed"]) == (2, 2, [], [])
    assert report["chunks"] == 2
    assert json.loads(leadline(environment, "ingest", str(papers), "--json").stdout)["duplicates"] == 2
    hits = json.loads(leadline(environment, "search", "heart of the whale", "--json").stdout)["hits"]
    assert hits[0]["title"] == "Whales"
    estimated = leadline(environment, "estimate", "Where did the Pequod sail from?").stdout
    assert estimated.startswith("In scope: 2 documents with about ")
    answer = json.loads(leadline(environment, "ask", "Where did the Pequod sail from?", "--json").stdout)
    assert answer["status"] == "extractive"
    assert "Nantucket" in answer["text"]
    readable = leadline(environment, "ask", "Where did the Pequod sail from?").stdout
    assert "[1] ships.txt: “" in readable


def first_key_file(printed: str) -> Path:
    """The file that is named where output goes to no terminal."""
    named = re.search(r"cat (\S+/first-api-key)", printed)
    assert named, printed
    return Path(named[1])


def test_a_first_start_makes_a_key_that_works_and_is_else_kept_only_as_a_hash(
    service: tuple["subprocess.Popen[str]", str], environment: dict[str, str], papers: Path
) -> None:
    process, printed = service
    file = first_key_file(printed)
    key = re.search(r"ll_\S+", file.read_text())
    url = re.search(r"http://127\.0\.0\.1:\d+", printed)
    assert key
    assert key[0] not in printed
    assert url
    asked = httpx.get(f"{url[0]}/v1/status", headers={"Authorization": f"Bearer {key[0]}"}, timeout=120)
    assert asked.status_code == 200
    secret = key[0].split("_", 2)[2].encode()
    home = Path(environment["LEADLINE_HOME"])
    for path in home.rglob("*"):
        with suppress(FileNotFoundError, IsADirectoryError):  # the service goes on, and some of its files come and go
            assert path == file or path.is_socket() or secret not in path.read_bytes()

    with_key = {**environment, "LEADLINE_API_KEY": key[0]}
    assert json.loads(leadline(with_key, "ingest", str(papers), "--json").stdout)["uploaded"] == 2
    assert (
        httpx.get(f"{url[0]}/v1/status", headers={"Authorization": f"Bearer {key[0]}"}, timeout=120).json()["chunks"]
        == 2
    )

    (batch,) = json.loads(leadline(with_key, "batch", "list", "--json").stdout)
    assert (batch["state"], batch["counts"]["documents"]) == ("completed", {"ready": 2})
    assert str(papers) in batch["name"]
    shown = leadline(with_key, "batch", "show", batch["id"], "--follow")
    assert "2 of 2 files done" in shown.stdout
    assert leadline(with_key, "batch", "failures", batch["id"]).stdout == ""
    cancelled = leadline(with_key, "batch", "cancel", batch["id"])
    assert cancelled.returncode == 1
    assert "cannot be cancelled" in cancelled.stderr

    without_key = leadline(environment, "search", "whale")
    assert without_key.returncode == 1
    assert "LEADLINE_API_KEY" in without_key.stderr
    second = leadline(environment, "up", "--port", "0")
    assert second.returncode == 1
    assert "LEADLINE_HOME" in second.stderr

    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 0
    assert not (home / "unclean").exists()
    assert not (home / "service.json").exists()


def test_everything_that_commands_and_the_service_write_is_their_users_alone(
    service: tuple["subprocess.Popen[str]", str], environment: dict[str, str], papers: Path, tmp_path: Path
) -> None:
    _, printed = service
    key = first_key_file(printed).read_text().strip()
    leadline({**environment, "LEADLINE_API_KEY": key}, "ingest", str(papers))
    assert leadline(environment, "backup", str(tmp_path / "backup")).returncode == 0
    for folder in (Path(environment["LEADLINE_HOME"]), tmp_path / "backup"):
        assert len(list(folder.rglob("*"))) > 3
        assert list_exposed_paths(folder, 10) == []


@pytest.mark.slow
def test_ctrl_c_in_mid_ingest_drains_and_the_next_start_goes_on(
    service: tuple["subprocess.Popen[str]", str], environment: dict[str, str]
) -> None:
    process, printed = service
    key, url = re.search(r"ll_\S+", first_key_file(printed).read_text()), re.search(r"http://127\.0\.0\.1:\d+", printed)
    assert key
    assert url
    headers = {"Authorization": f"Bearer {key[0]}"}
    long = "\n\n".join(f"Paragraph {n} tells of anchor number {n} and of nothing else at all." for n in range(12_000))
    with httpx.Client(base_url=url[0], headers=headers, timeout=120) as http:
        http.post("/v1/documents?name=long.md", content=long.encode()).raise_for_status()
        while not http.get("/v1/status").json()["chunks_embedded"]:
            time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) in (0, -signal.SIGTERM)
    assert not (Path(environment["LEADLINE_HOME"]) / "unclean").exists()
    listed = leadline(environment, "ingest", str(Path(__file__)), "--json", "--wait", "no")
    assert json.loads(listed.stdout)["uploaded"] == 1


@pytest.mark.slow
def test_keys_are_made_listed_and_revoked(environment: dict[str, str]) -> None:
    made = leadline(environment, "keys", "create", "laptop")
    identifier = made.stdout.split("_")[1]
    assert "laptop" in leadline(environment, "keys", "list").stdout
    assert leadline(environment, "keys", "revoke", identifier).returncode == 0
    again = leadline(environment, "keys", "revoke", identifier)
    assert again.returncode == 1
    assert "keys list" in again.stderr


@pytest.mark.slow
def test_doctor_is_content_and_names_what_is_missing(environment: dict[str, str], tmp_path: Path) -> None:
    well = leadline({**environment, "LEADLINE_PORT": "0"}, "doctor")
    assert well.returncode == 0, well.stdout
    ill = leadline({**environment, "LEADLINE_MODELS": str(tmp_path / "none")}, "doctor")
    assert ill.returncode == 1
    assert "leadline models fetch" in ill.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("ingest", "/no/such/folder"), "Check the path"),
        (("ingest", "."), "no files to upload"),
        (("ask", "?"), "at least one word"),
        (("search", "   "), "at least one word"),
    ],
)
def test_a_mistake_is_answered_with_the_next_step_and_no_traceback(
    environment: dict[str, str], tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    (tmp_path / "empty").mkdir()
    arguments = [str(tmp_path / "empty") if word == "." else word for word in words]
    done = leadline(environment, *arguments)
    assert done.returncode == 1
    assert says.casefold() in done.stderr.casefold()
    assert "Traceback" not in done.stderr


def test_a_wrong_setting_is_named(environment: dict[str, str]) -> None:
    done = leadline({**environment, "LEADLINE_LLM": "gpt"}, "up")
    assert done.returncode == 1
    assert "LEADLINE_LLM" in done.stderr


@pytest.mark.slow
def test_a_backup_is_made_beside_a_running_service_and_restored_elsewhere(
    service: tuple["subprocess.Popen[str]", str], environment: dict[str, str], papers: Path, tmp_path: Path
) -> None:
    folder = str(tmp_path / "backup")
    environment["LEADLINE_API_KEY"] = first_key_file(service[1]).read_text().strip()
    assert leadline(environment, "ingest", str(papers)).returncode == 0
    made = leadline(environment, "backup", folder)
    assert made.returncode == 0, made.stderr
    assert "Backed up 2 documents" in made.stdout
    for words in (("backup", "verify", folder), ("verify",), ("installation", "show")):
        assert leadline(environment, *words).returncode == 0, words
    assert leadline(environment, "restore", folder).returncode == 1

    elsewhere = {**environment, "LEADLINE_HOME": str(tmp_path / "elsewhere")}
    del elsewhere["LEADLINE_API_KEY"]
    restored = leadline(elsewhere, "restore", folder)
    assert restored.returncode == 0, restored.stderr
    assert "Restore complete." in restored.stdout
    assert "four hundred pounds" in leadline(elsewhere, "search", "whale heart").stdout
    assert "backup.restored" in leadline(elsewhere, "audit", "list").stdout
    assert leadline(elsewhere, "audit", "verify").returncode == 0
    again = leadline(elsewhere, "restore", folder)
    assert again.returncode == 1
    assert "--replace" in again.stderr
