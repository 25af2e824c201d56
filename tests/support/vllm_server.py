"""A real vLLM server on this machine's processor, started as people start one: `deploy/vllm/start.py` and a profile.

`LEADLINE_VLLM_PYTHON` names the Python of an environment that has vLLM, `LEADLINE_VLLM_CHECKPOINT` the folder that
`deploy/vllm/checkpoint_of_gguf.py` made; `make test-vllm` makes both.
"""

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

VLLM = Path(__file__).parents[2] / "deploy" / "vllm"
KEY = "a-key-of-the-tests"
# Names a server that runs already, so that its start is not waited for each time: `cpu.yaml`, with that key.
RUNNING = "LEADLINE_VLLM_URL"
MODEL = "qwen2.5-coder-1.5b-instruct"
# Imports alone take a minute where two processors have other work.
_START_SECONDS = 900.0
_ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "HF_HUB_OFFLINE": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}


@dataclass(frozen=True)
class VllmServer:
    """A running server; `url` ends in `/v1`."""

    url: str
    log: Path

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {KEY}"}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples with these labels; `name` is as the server prints it."""
        text = httpx.get(f"{self.root}/metrics", headers=self.headers, timeout=60).raise_for_status().text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def labels(self, name: str) -> Mapping[str, str]:
        """Return the labels of a metric's first sample."""
        text = httpx.get(f"{self.root}/metrics", headers=self.headers, timeout=60).raise_for_status().text
        samples = (each for family in text_string_to_metric_families(text) for each in family.samples)
        return next(dict(sample.labels) for sample in samples if sample.name == name)


def vllm_python() -> str:
    """Return the Python that has vLLM; skip the test where there is none."""
    return _named("LEADLINE_VLLM_PYTHON")


def checkpoint() -> Path:
    """Return the folder of the small model's checkpoint; skip the test where there is none."""
    return Path(_named("LEADLINE_VLLM_CHECKPOINT"))


def _named(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        pytest.skip(f"{variable} is not set: make test-vllm")
    return value


@contextmanager
def vllm_server(folder: Path, profile: str, *options: str) -> Iterator[VllmServer]:
    """Start a server by a profile of `deploy/vllm`, with a key, and stop it at the end."""
    python = vllm_python()
    (key := folder / "key").write_text(KEY)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # The community's package for processors has older releases only.
    ours = [str(VLLM / "profiles" / profile), "--api-key-file", str(key), "--port", str(port), "--allow-old-release"]
    log = folder / f"{Path(profile).stem}.log"
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    with (
        log.open("w") as written,
        subprocess.Popen(
            [python, str(VLLM / "start.py"), *ours, "--", *options],
            env={**os.environ, **_ENVIRONMENT, **threads},
            stdout=written,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        server = VllmServer(f"http://127.0.0.1:{port}/v1", log)
        try:
            _wait(server, process)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(server: VllmServer, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"vLLM ended with {process.returncode}:\n{server.log.read_text()[-3000:]}")
        try:
            if httpx.get(f"{server.root}/health", timeout=5).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    pytest.fail(f"vLLM is not ready:\n{server.log.read_text()[-3000:]}")
