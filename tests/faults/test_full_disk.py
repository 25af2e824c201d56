"""A disk that really fills up: a small file system of our own, in a mount namespace of our own.

`python -m tests.faults.full_disk` runs the trials of `run_trial` at size.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.full_disk import run_trials, violations

SIZE = "96m"

# Runs inside the namespace. First the write itself meets the end of the disk; then a service takes uploads down to its
# reserve, refuses the next with a problem, and finishes everything it accepted once there is room again.
SCRIPT = """
import sys, time
from pathlib import Path
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.errors import StorageFullError
from tests.support.service import running

disk = Path(sys.argv[1])
blobs = DirectoryBlobs(disk / "small")
try:
    with blobs.receive_upload(max_bytes=10**9) as incoming:
        for _ in range(200):
            incoming.write(bytes(1_000_000))
        incoming.finish()
except StorageFullError as error:
    print("refused:", error)
else:
    raise AssertionError("the disk never filled")
assert list((disk / "small" / "incoming").iterdir()) == []

ballast = disk / "ballast"
ballast.write_bytes(bytes(45_000_000))
with running(disk / "home", min_free_bytes=40_000_000) as (services, client):
    accepted, refused = [], None
    for number in range(200):
        body = f"Document {number}. ".encode() + b"ballast and rigging " * 50_000
        response = client.http.post("/v1/documents", params={"name": f"{number}.txt"}, content=body)
        if response.status_code != 202:
            refused = response
            break
        accepted.append(response.json()["id"])
    assert refused is not None, "the reserve was never reached"
    assert (refused.status_code, refused.json()["code"]) == (507, "storage_full"), refused.text
    assert refused.json()["hint"]
    ballast.unlink()
    deadline = time.monotonic() + 400
    states = set()
    while time.monotonic() < deadline and states != {"ready"}:
        states = {client.get(f"/v1/documents/{identifier}")["state"] for identifier in accepted}
        assert "failed" not in states, states
        time.sleep(0.1)
    print(len(accepted), "accepted,", states)
    assert accepted and states == {"ready"}
"""


# Runs a command on a read-only file system, with a data folder and without one.
READ_ONLY = """
import sys
from pathlib import Path
from api.build.embedded import open_embedded_services
from api.settings.settings import Settings
from ingest.storage.errors import StorageReadOnlyError
from retrieval.encoders.port import HashingEmbedder

try:
    with open_embedded_services(Settings(home=Path(sys.argv[1]), llm="none"), encoder=HashingEmbedder()):
        raise AssertionError("it started")
except StorageReadOnlyError as error:
    print(error)
"""

# A start on a disk that another program has filled, first with a ballast and then without.
NO_ROOM = """
import sys
from pathlib import Path
from api.build.data_folder import hold_data_folder
from api.build.embedded import open_embedded_services
from api.settings.settings import Settings
from ingest.storage.ballast import Ballast
from ingest.storage.errors import StorageFullError
from retrieval.encoders.port import HashingEmbedder

disk = Path(sys.argv[1])
(disk / "home").mkdir()
Ballast(disk / "home", 20_000_000).refill()
with (disk / "filler").open("wb", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError:
        pass
with hold_data_folder(disk / "home"):
    assert (disk / "home" / "lock").read_text()
    print("the ballast has", Ballast(disk / "home").held_bytes)
(disk / "home" / "ballast").unlink()
with (disk / "filler").open("ab", buffering=0) as filler:
    try:
        while filler.write(bytes(4096)):
            pass
    except OSError:
        pass
try:
    with open_embedded_services(Settings(home=disk / "home", llm="none"), encoder=HashingEmbedder()):
        raise AssertionError("it started")
except StorageFullError as error:
    print(error)
"""


def run_on(mount: str, folder: Path, script: str, *arguments: object) -> str:
    """Run a script in a mount namespace of its own, after `mount`; return what it printed."""
    path = folder / "script.py"
    path.write_text(script)
    root = Path(__file__).parents[2]
    inner = " ".join(str(each) for each in (mount, sys.executable, path, *arguments))
    command = ["unshare", "--map-root-user", "--mount", "sh", "-ec", inner]
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.needs_program("unshare")
@pytest.mark.parametrize("is_new", [True, False])
def test_a_read_only_file_system_is_refused_in_words_at_the_start(tmp_path: Path, is_new: bool) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    make = "true" if is_new else f"mkdir {disk}/home; touch {disk}/home/lock"
    mount = f"mount -t tmpfs -o size=8m none {disk}; {make}; mount -o remount,ro {disk};"
    said = run_on(mount, tmp_path, READ_ONLY, disk / "home")
    assert "mounted read-only" in said
    assert "Mount the file system as writable" in said


@pytest.mark.needs_program("unshare")
def test_a_start_gets_room_from_the_ballast_and_without_one_says_how_much_it_needs(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    said = run_on(f"mount -t tmpfs -o size=64m none {disk};", tmp_path, NO_ROOM, disk)
    assert "the ballast has 3" in said  # 20,000,000 less 16 MiB
    assert "starting requires 1,048,576" in said


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("tmpfs", marks=pytest.mark.needs_program("unshare")),
        pytest.param("ext4", marks=pytest.mark.needs_program("mkfs.ext4")),
    ],
)
def test_a_full_disk_can_be_searched_emptied_and_started_on(kind: str) -> None:
    seen = list(run_trials(kind, 2))
    assert len(seen) == 2
    for each in seen:
        assert violations(each) == [], each


@pytest.mark.needs_program("unshare")
def test_a_full_disk_refuses_before_accepting_and_loses_nothing_accepted(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    mount = ["unshare", "--map-root-user", "--mount", "sh", "-ec"]
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    command = f"mount -t tmpfs -o size={SIZE} none {full}; {sys.executable} {script} {full}"
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": str(root), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run([*mount, command], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
