"""What is left to a process that is confined. `tests/security/test_parser_isolation.py` has hostile parsers try it."""

import json
import subprocess
import sys
from pathlib import Path

_CONFINED = """
import json, os, socket, sys
from pathlib import Path
from ingest.parsing.isolation.confinement import confine_process
document, folder, other = map(Path, sys.argv[1:])
done = confine_process(document, folder)
def tried(act):
    try:
        return str(act())
    except OSError as error:
        return type(error).__name__
(folder / "text").write_text("kept")
print(json.dumps({
    "confined": done,
    "document": tried(document.read_text),
    "folder": tried((folder / "text").read_text),
    "other": tried(other.read_text),
    "new": tried(lambda: other.with_name("new").write_text("x")),
    "socket": tried(socket.socket),
    "process": tried(os.fork),
}))
"""


def _left(tmp_path: Path) -> dict[str, object]:
    document, folder, other = tmp_path / "document", tmp_path / "folder", tmp_path / "other"
    document.write_text("hostile")
    folder.mkdir()
    other.write_text("secret")
    command: list[str | Path] = [sys.executable, "-c", _CONFINED, document, folder, other]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(json.loads(said))


def test_the_document_can_be_read_its_folder_be_written_and_no_other_file_be_opened(tmp_path: Path) -> None:
    left = _left(tmp_path)
    assert (left["document"], left["folder"]) == ("hostile", "kept")
    assert (left["other"], left["new"]) == ("PermissionError", "PermissionError")


def test_there_is_no_network_and_no_other_process(tmp_path: Path) -> None:
    left = _left(tmp_path)
    assert (left["socket"], left["process"]) == ("PermissionError", "PermissionError")
    assert left["confined"] == ["Landlock", "seccomp"]
