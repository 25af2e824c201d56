"""The peers' own virtual environment, made once."""

import subprocess
import sys
import venv
from pathlib import Path

from platformdirs import user_cache_path

PACKAGES = ("rlms", "dspy")
DEFAULT = user_cache_path("leadline") / "peers"


def python_of(environment: Path) -> Path:
    """The interpreter of the environment, which is made and filled when it is not there yet."""
    python = environment / "bin" / "python"
    done = environment / "installed"
    if not done.exists():
        print(f"Installing {' and '.join(PACKAGES)} into {environment} …", file=sys.stderr, flush=True)
        venv.create(environment, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        done.touch()
    return python


def versions(python: Path) -> dict[str, str]:
    """What is installed."""
    program = f"from importlib.metadata import version\nfor p in {PACKAGES!r}: print(p, version(p))"
    shown = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout
    return dict(line.split() for line in shown.splitlines())
