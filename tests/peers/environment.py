"""The peers' own virtual environments, each made once."""

import json
import re
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path

PACKAGES = ("rlms==0.1.3", "dspy==3.4.1")
DEFAULT = user_cache_path("leadline") / "peers"
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def required(path: Path) -> tuple[str, ...]:
    """The lines of a requirements file."""
    return tuple(line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#"))


def python_of(environment: Path, packages: Sequence[str] = PACKAGES) -> Path:
    """The interpreter of the environment, which is made and filled when it does not hold just these packages yet."""
    python = environment / "bin" / "python"
    done = environment / "installed"
    wanted = "\n".join(packages)
    if not done.exists() or done.read_text("utf-8") != wanted:
        print(f"Installing {', '.join(packages)} into {environment} …", file=sys.stderr, flush=True)
        venv.create(environment, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        done.write_text(wanted, "utf-8")
    return python


def versions(python: Path, packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """What is installed."""
    names = [match[0] for package in packages if (match := _NAME.match(package))]
    program = (
        "import json\nfrom importlib.metadata import version\n"
        f"print(json.dumps({{name: version(name) for name in {names!r}}}))"
    )
    shown = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout
    installed: dict[str, str] = json.loads(shown)
    return installed
