"""The entry point of the command line, which reports missing packages if only the Python client is installed."""

import sys

_OWN_PACKAGES = frozenset({"api", "ingest", "retrieval", "rlm", "workers"})


def main() -> None:
    """Run the command line, or exit with status 1 and a short message if a package of the service is missing."""
    try:
        from api.cli.main import main as run
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if not missing or missing in _OWN_PACKAGES:
            raise
        sys.exit(
            f"The `leadline` command requires the package `{missing}`, which is not installed. "
            "Run `pip install './leadline[service]'`."
        )
    run()
