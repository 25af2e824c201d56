"""Who may read what processes write."""

import stat
import subprocess
import sys
from pathlib import Path


def test_processes_make_files_and_folders_that_only_their_user_can_read_and_so_do_their_children(
    tmp_path: Path,
) -> None:
    program = (
        "import pathlib, subprocess, sys; from ingest.storage.permissions import make_new_files_private;"
        "make_new_files_private(); pathlib.Path('own').touch(); pathlib.Path('folder').mkdir();"
        "subprocess.run([sys.executable, '-c', 'import pathlib; pathlib.Path(\"child\").touch()'], check=True)"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True, umask=0o022)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"own": 0o600, "folder": 0o700, "child": 0o600}
