"""Says which installation a command works on: a service, or a data folder."""

import os
import sys
from pathlib import Path

from api.cli.console import Console

_current: list[str] = []


def show_service(url: str) -> None:
    """Note that the command works on the service at this address."""
    source = "LEADLINE_URL" if os.environ.get("LEADLINE_URL") else "running on this machine's data folder"
    _show(f"the service at {url} ({source})")


def show_data_folder(home: Path) -> None:
    """Note that the command works on this data folder, without a service.

    If `LEADLINE_URL` names a service, other commands of the same shell work on that service. The command then always
    says so.
    """
    url = os.environ.get("LEADLINE_URL")
    _show(
        f"the data folder {home} (LEADLINE_HOME)",
        warning=f", not on the service at {url} (LEADLINE_URL)" if url else "",
    )


def show_database() -> None:
    """Note that the command works on the database of a cluster."""
    _show("the cluster's database (LEADLINE_DATABASE_URL)")


def describe_installation() -> str:
    """Return a sentence that names the installation, or an empty string if the command has not opened one."""
    return f"The command worked on {_current[-1]}." if _current else ""


def _show(installation: str, warning: str = "") -> None:
    _current.append(installation)
    if warning or sys.stderr.isatty():
        style = "yellow" if warning else "dim"
        text = f"Working on {installation}{warning}."
        Console(stderr=True).print(text, style=style, highlight=False, markup=False, soft_wrap=True)
