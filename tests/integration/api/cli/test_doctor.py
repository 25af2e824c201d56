"""What `leadline doctor` finds out from a model's server, and a command that it advises."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from api.cli.doctor import Finding, _check_language_model, _check_permissions, _check_port
from api.settings.settings import Settings
from tests.support.misbehaving_openai import MisbehavingOpenAI, misbehaving_openai, picky, says


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as made:
        yield made


def found(server: MisbehavingOpenAI, folder: Path, **given: object) -> dict[str, Finding]:
    settings = Settings(home=folder, models=folder, llm=f"{server.url} m", **given)  # type: ignore[arg-type]
    return {each.what: each for each in _check_language_model(settings)}


def test_a_model_that_keeps_to_a_schema_is_well(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    server.served = [{"id": "m", "max_model_len": 8_192}]
    server.behaviours = [says('{"works": true}')]
    findings = found(server, tmp_path)
    assert not any(each.advice for each in findings.values())
    assert "8,192" in findings["context window"].found
    assert "works" in findings["JSON schema"].found


def test_what_a_server_refuses_is_said_and_is_no_failure(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    refused = {"message": "Not supported.", "param": "response_format"}
    server.behaviours = [picky(lambda body: refused if "response_format" in body else None, '{"works": true}')]
    finding = found(server, tmp_path)["JSON schema"]
    assert "in words" in finding.found
    assert not finding.advice


def test_a_model_that_does_not_keep_to_a_schema_is_a_finding(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    server.behaviours = [says("Certainly!")]
    assert found(server, tmp_path)["JSON schema"].advice


def test_a_window_that_is_larger_than_the_servers_is_a_finding(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    server.served = [{"id": "m", "max_model_len": 8_192}]
    server.behaviours = [says('{"works": true}')]
    assert "8,192" in found(server, tmp_path, llm_context_tokens=16_384)["LEADLINE_LLM_CONTEXT_TOKENS"].advice


def test_another_models_server_is_a_finding_and_is_asked_nothing(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    server.served = [{"id": "other"}]
    assert "other" in found(server, tmp_path)["language model"].advice
    assert server.requests == []


@pytest.mark.parametrize("release", ["0.9.2", "0.32.1", "0.32.0.post1+cpu"])
def test_an_upgrade_is_advised_from_a_release_of_vllm_with_known_vulnerabilities(
    release: str, server: MisbehavingOpenAI, tmp_path: Path
) -> None:
    server.served = [{"id": "m"}]
    server.behaviours = [says('{"works": true}')]
    server.release = release
    finding = found(server, tmp_path)["model server"]
    assert finding.found == f"vLLM {release}"
    assert finding.advice.startswith("Upgrade vLLM to 0.33 or newer")


@pytest.mark.parametrize("release", ["0.33.0", "v0.33", "0.100.0", "1.0", "dev"])
def test_other_releases_of_vllm_are_reported_without_advice(
    release: str, server: MisbehavingOpenAI, tmp_path: Path
) -> None:
    server.served = [{"id": "m"}]
    server.behaviours = [says('{"works": true}')]
    server.release = release
    assert found(server, tmp_path)["model server"] == Finding("model server", f"vLLM {release}")


def test_a_server_that_is_not_vllm_has_no_release_to_report(server: MisbehavingOpenAI, tmp_path: Path) -> None:
    server.served = [{"id": "m"}]
    server.behaviours = [says('{"works": true}')]
    assert "model server" not in found(server, tmp_path)


def test_a_data_folder_that_others_can_read_is_reported_with_the_command_that_closes_it(tmp_path: Path) -> None:
    home = tmp_path / "my home"
    home.mkdir(mode=0o755)
    (home / "catalog.sqlite").touch()
    (home / "catalog.sqlite").chmod(0o644)
    settings = Settings(home=home, models=tmp_path, llm="none")
    (finding,) = _check_permissions(settings)
    assert "2 paths" in finding.found
    assert str(home) in finding.found
    command = finding.advice.split("`")[1]
    subprocess.run(command, shell=True, check=True)
    (finding,) = _check_permissions(settings)
    assert not finding.advice


@pytest.mark.parametrize(
    ("reply", "what", "found"),
    [
        (b'{"status":"alive"}', "service", "running at http://127.0.0.1:{port}"),
        (b'{"status":"pass"}', "port", "another program uses port {port}"),
        (b"not JSON", "port", "another program uses port {port}"),
    ],
)
def test_a_service_on_the_port_is_running_and_another_program_is_in_the_way(
    tmp_path: Path, reply: bytes, what: str, found: str
) -> None:
    with serve_reply(reply) as port:
        settings = Settings(home=tmp_path, models=tmp_path, llm="none", host="0.0.0.0", port=port)
        (finding,) = _check_port(settings)
    assert (finding.what, finding.found) == (what, found.format(port=port))
    assert bool(finding.advice) == (what == "port")


@contextmanager
def serve_reply(body: bytes) -> Iterator[int]:
    """Serve `body` for each GET request, on the port that this yields."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health/live" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
