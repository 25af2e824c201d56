"""The composition root of retrieval names every adapter and needs the libraries of those it makes only."""

import subprocess
import sys


def test_an_embedded_deployment_does_without_the_servers_client() -> None:
    script = "import sys; sys.modules['qdrant_client'] = None; import retrieval.build"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0
