"""Parts of the system, outside the Python environment, that some tests need."""

import os
import shutil
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from rlm.sandbox.port import SandboxIsolation

# Mounting a file system that is kept in a file needs root, and a kernel with loop devices.
_MOUNTED_FILE = """
folder=$(mktemp -d); trap 'rm -rf $folder.ext4 $folder' EXIT
truncate -s 4m $folder.ext4; mkfs.ext4 -q $folder.ext4; mount -o loop $folder.ext4 $folder; umount $folder
"""
# Each program, the Debian package that has it, and a command that succeeds where it can be used.
_PROGRAMS = {
    "bwrap": ("bubblewrap", ("bwrap", "--unshare-all", "--ro-bind", "/", "/", "true")),
    "docker-compose": ("docker-compose", ("docker-compose", "version")),
    "helm": ("", ("helm", "version")),
    "openapi-python-client": ("", ("openapi-python-client", "--version")),
    "mkfs.ext4": ("e2fsprogs mount", ("unshare", "--mount", "sh", "-ec", _MOUNTED_FILE)),
    "node": ("npm", ("node", "--version")),
    "nginx": ("nginx", ("nginx", "-v")),
    "caddy": ("caddy", ("caddy", "version")),
    "promtool": ("prometheus", ("promtool", "--version")),
    "chromium": ("chromium", ("chromium", "--version")),
    "firefox-esr": ("firefox-esr", ("firefox-esr", "--version")),
    "WebKitWebDriver": ("webkit2gtk-driver", ("WebKitWebDriver", "--help")),
    "Xvfb": ("xvfb", ("Xvfb", "-help")),
    "unshare": ("util-linux mount", ("unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt")),
}
# The folder of the certified provider that tests run with node.
IDENTITY_PROVIDER = Path(__file__).with_name("identity_provider")
# The folder of the server of Azure Blob Storage's protocol that tests run with node.
AZURITE = Path(__file__).with_name("azurite")
# Where a program comes from that Debian does not have.
_ELSEWHERE = {
    "helm": "make helm, or https://helm.sh/docs/intro/install",
    "openapi-python-client": "make generator",
}
# For a fixture: every form of the sandbox, the hardened one where it can be had.
SANDBOX_FORMS = [
    pytest.param(form, marks=[pytest.mark.needs_program("bwrap")] if form is SandboxIsolation.BUBBLEWRAP else [])
    for form in SandboxIsolation
]
# Where it is set, what is missing fails the tests that need it.
INSISTED = "LEADLINE_REQUIRE_SYSTEM_PACKAGES"


def require_program(name: str) -> None:
    """Skip the test, and say what to install, where the program cannot be used."""
    if reason := unusable(name):
        _skip(reason)


def find_program(name: str) -> str | None:
    """Return the path of a program, also of one that Debian keeps from the paths of users."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")


def require_identity_provider() -> None:
    """Skip the test where node, or the provider that it runs, is missing."""
    require_program("node")
    if not (IDENTITY_PROVIDER / "node_modules" / "oidc-provider").is_dir():
        _skip("needs oidc-provider: make provider")


def require_azurite() -> None:
    """Skip the test where node, or the server that it runs, is missing."""
    require_program("node")
    if not (AZURITE / "node_modules" / "azurite").is_dir():
        _skip("needs azurite: make azurite")


def require_torch() -> None:
    """Skip the test where the environment is the one of `make test`."""
    if find_spec("sentence_transformers") is None:
        _skip("needs sentence-transformers and torch: make setup-all")


@cache
def unusable(name: str) -> str:
    """Why the program cannot be used; empty where it can."""
    package, command = _PROGRAMS[name]
    if find_program(name) is None:
        return f"needs {package}: apt install {package}" if package else f"needs {name}: {_ELSEWHERE[name]}"
    command = (find_program(command[0]) or command[0], *command[1:])
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"{name} cannot be used here: {tried.stderr.strip()}" if tried.returncode else ""


def _skip(reason: str) -> None:
    if os.environ.get(INSISTED):
        pytest.fail(f"{reason} ({INSISTED} is set)", pytrace=False)
    pytest.skip(reason)
