"""The entry point of the command line. If only the Python client is installed, it reports which packages to install."""

import sys

_OURS = frozenset({"api", "ingest", "retrieval", "rlm", "workers"})


def main() -> None:
    """Run the command line. If a package of the service is not installed, exit with status 1 and a short message."""
    try:
        from api.cli.main import main as run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _OURS:
            raise
        sys.exit(
            f"The `leadline` command needs the package `{missing}`, which is not installed. "
            "Run `pip install 'leadline[service]'`."
        )
    run()
