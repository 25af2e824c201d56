"""Two processes that fetch the same model file."""

import subprocess
import sys
from pathlib import Path
from typing import IO

from retrieval.models.fetch import fetch_model_files
from retrieval.models.store import ModelStore
from tests.fakes.model_source import FakeSource
from tests.unit.retrieval.models.test_fetch import CONTENT, FILE, Heard

OTHER_PROCESS = """
import sys, time
from pathlib import Path
from tests.fakes.model_source import FakeSource
from retrieval.models.fetch import fetch_model_files
from retrieval.models.store import ModelStore
from tests.unit.retrieval.models.test_fetch import CONTENT, FILE, Heard

class Slow(FakeSource):
    def fetch_file(self, *arguments):
        print("delivering", flush=True)
        sys.stdin.readline()
        super().fetch_file(*arguments)

fetch_model_files([FILE], ModelStore(Path(sys.argv[1]), [FILE]), [Slow({FILE.name: CONTENT})], Heard())
"""


def test_a_second_process_waits_and_then_finds_the_file_there(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "models", [FILE])
    command = [sys.executable, "-c", OTHER_PROCESS, str(store.directory)]
    hub = FakeSource({FILE.name: CONTENT}, name="hub")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        stdin: IO[str] = other.stdin
        assert other.stdout.readline() == "delivering\n"

        class LetsTheOtherGoOn(Heard):
            def report_notice(self, text: str) -> None:
                super().report_notice(text)
                stdin.write("go on\n")
                stdin.flush()

        heard = LetsTheOtherGoOn()
        fetch_model_files([FILE], store, [hub], heard)

    assert other.returncode == 0
    assert heard.notices == [f"Another process is downloading to {store.directory}; waiting for it to finish."]
    assert hub.delivered == []
