"""Starts the command line, and says what to install where only the Python client is installed."""

import sys

_OURS = frozenset({"api", "ingest", "retrieval", "rlm", "workers"})


def main() -> None:
    """Run the command line. Exit with 1 and one sentence if a package of the service is not installed."""
    try:
        from api.cli.main import main as run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _OURS:
            raise
        sys.exit(
            f"The command `leadline` needs the service's packages, and `{missing}` is not installed: "
            "run `pip install 'leadline[service]'`."
        )
    run()
