"""What starts a vLLM server, and the gate in front of it, without vLLM."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests.support.programs import load_program

FOLDER = Path(__file__).parents[3] / "deploy" / "vllm"
FOR_ANSWERS = ("one-24gb", "one-h100", "four-h100", "draft", "cpu")

start, used_paths = load_program(FOLDER / "start.py"), load_program(FOLDER / "used_paths.py")


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    async def answer(request: Request) -> JSONResponse:
        return JSONResponse({}, int(request.query_params.get("status", 200)))

    routes = [Route(f"/{path}", answer, methods=["GET", "POST"]) for path in ("{path:path}",)]

    def asking(method: str, path: str, *, key: str = "", expected: str = "right") -> httpx.Response:
        monkeypatch.setenv("VLLM_API_KEY", expected)
        app = used_paths.UsedPaths(Starlette(routes=routes))

        async def send() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://vllm") as client:
                return await client.request(method, path, headers={"Authorization": f"Bearer {key}"} if key else {})

        return asyncio.run(send())

    return asking


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/embeddings", "/v1/rerank", "/score", "/v2/rerank"])
def test_what_leadline_asks_for_is_open_to_who_has_the_key(path: str, ask: Any) -> None:  # noqa: ANN401
    assert ask("POST", path, key="right").status_code == 200
    assert ask("POST", path, key="wrong").status_code == 401
    assert ask("POST", path).status_code == 401
    assert ask("POST", path, expected="").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/v1/completions",
        "/tokenize",
        "/collective_rpc",
        "/sleep",
        "/v1/load_lora_adapter",
        "/pause",
        "/v1/chat/completions/",
    ],
)
def test_everything_else_is_closed_with_the_key_too(path: str, ask: Any) -> None:  # noqa: ANN401
    assert ask("POST", path, key="right").status_code == 404


def test_a_probe_needs_no_key_and_metrics_do(ask: Any) -> None:  # noqa: ANN401
    assert ask("GET", "/health").status_code == 200
    assert ask("GET", "/metrics").status_code == 401
    assert ask("GET", "/metrics", key="right").status_code == 200


def test_a_refusal_of_a_full_server_says_when_to_come_again(ask: Any) -> None:  # noqa: ANN401
    assert ask("POST", "/v1/chat/completions?status=503", key="right").headers["retry-after"] == "2"
    assert "retry-after" not in ask("POST", "/v1/chat/completions?status=400", key="right").headers


@pytest.mark.parametrize(
    ("arguments", "host", "environment", "key", "said"),
    [
        (["--trust-remote-code"], "127.0.0.1", {}, "", "--trust-remote-code"),
        (["--trust_remote_code=true"], "127.0.0.1", {}, "", "--trust-remote-code"),
        ([], "0.0.0.0", {}, "key", "is a public address"),
        ([], "::", {}, "key", "is a public address"),
        ([], "8.8.8.8", {}, "key", "is a public address"),
        ([], "gpu.example.org", {}, "key", "is a public address"),
        ([], "10.0.0.5", {}, "", "--api-key-file"),
        ([], "127.0.0.1", {"VLLM_SERVER_DEV_MODE": "1"}, "", "VLLM_SERVER_DEV_MODE"),
    ],
)
def test_what_is_not_safe_is_refused_with_what_to_do(
    arguments: list[str], host: str, environment: dict[str, str], key: str, said: str
) -> None:
    (found,) = start.list_refusal_reasons(arguments, host, environment, key=key)
    assert said in found


@pytest.mark.parametrize(("host", "key"), [("127.0.0.1", ""), ("localhost", ""), ("10.0.0.5", "k"), ("fd00::1", "k")])
def test_a_private_address_with_a_key_is_fine(host: str, key: str) -> None:
    assert start.list_refusal_reasons(["--max-num-seqs", "4"], host, {"VLLM_SERVER_DEV_MODE": "0"}, key=key) == []


def test_the_command_line_overrides_no_address_of_the_starter() -> None:
    (found,) = start.list_refusal_reasons(["--host=0.0.0.0"], "127.0.0.1", {}, key="k")
    assert "--host" in found


def test_a_profile_cannot_ask_for_code_of_a_repository(tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("model: x\ntrust-remote-code: true  # no\nenforce-eager: false\n")
    flags = start._parse_profile_flags(profile)
    assert flags == ["--model", "--trust-remote-code"]
    assert start.list_refusal_reasons(flags, "127.0.0.1", {}, key="")


@pytest.mark.parametrize("path", sorted((FOLDER / "profiles").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_profile_finishes_what_it_writes_and_trusts_no_code(path: Path) -> None:
    options = yaml.safe_load(path.read_text())
    assert options["shutdown-timeout"] > 0
    assert start.list_refusal_reasons(start._parse_profile_flags(path), "127.0.0.1", {}, key="") == []
    if path.stem in FOR_ANSWERS:
        assert options["scheduling-policy"] == "priority"
        assert options["enable-prefix-caching"]
        assert options["structured-outputs-config"] == {"backend": "xgrammar", "disable_any_whitespace": True}
        # vLLM counts the requests that it writes, too.
        assert options["max-num-queued-reqs"] > options["max-num-seqs"]


@pytest.mark.parametrize("release", ["0.9.2", "0.32.1", "0.32.0.post1", "0.32.0+cpu"])
def test_an_old_release_is_refused_with_what_to_do(release: str) -> None:
    (found,) = start.check_release(release)
    assert "install 0.33 or newer" in found
    assert "--allow-old-release" in found


@pytest.mark.parametrize(
    ("release", "options", "starts"),
    [("0.31.0", [], False), ("0.31.0", ["--allow-old-release"], True), ("0.33.0", [], True)],
)
def test_the_server_starts_unless_the_installed_release_is_old(
    release: str, options: list[str], starts: bool, tmp_path: Path
) -> None:
    package, installed = tmp_path / "vllm" / "entrypoints" / "cli", tmp_path / f"vllm-{release}.dist-info"
    package.mkdir(parents=True)
    (package / "main.py").write_text("import sys\nprint('started', *sys.argv[1:])\n")
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {release}\n")
    command = [sys.executable, str(FOLDER / "start.py"), str(FOLDER / "profiles" / "one-24gb.yaml"), *options]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) is starts, done.stderr
    assert done.stdout.startswith("started serve --config") is starts
    assert ("--allow-old-release" in done.stderr) is not starts


@pytest.mark.parametrize("release", ["0.33", "0.33.0", "0.33.0+cpu", "0.100.0", "1.0"])
def test_a_newer_release_is_not_refused(release: str) -> None:
    assert start.check_release(release) == []


def test_containers_run_a_release_that_starts_close_their_port_and_have_the_key_as_a_file() -> None:
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    server = compose["services"]["vllm"]
    image, _, release = server["image"].partition(":v")
    assert (image, start.check_release(release)) == ("vllm/vllm-openai", [])
    assert "ports" not in server
    assert "--api-key-file" in server["command"]
    assert server["secrets"] == ["vllm_api_key"]
    seconds = int(server["stop_grace_period"].removesuffix("s"))
    for path in (FOLDER / "profiles").glob("*.yaml"):
        assert yaml.safe_load(path.read_text())["shutdown-timeout"] < seconds
    mounted = {each.partition(":")[0] for each in server["volumes"] if each.startswith(".")}
    assert all((FOLDER / path).exists() for path in mounted)
