"""A disk that really fills up: a small file system of our own, in a mount namespace of our own."""

import subprocess
import sys
from pathlib import Path

import pytest

SIZE = "96m"

# Runs inside the namespace. First the write itself meets the end of the disk; then a service takes uploads down to its
# reserve, refuses the next with a problem, and finishes everything it accepted once there is room again.
SCRIPT = """
import sys, time
from pathlib import Path
from ingest.blobs import DirectoryBlobs
from ingest.errors import StorageFullError
from tests.support.service import running

disk = Path(sys.argv[1])
blobs = DirectoryBlobs(disk / "small")
try:
    with blobs.receive(max_bytes=10**9) as incoming:
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
