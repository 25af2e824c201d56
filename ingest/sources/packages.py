"""Reports packages of the extra `sources` that are not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from ingest.sources.errors import SourceError


@contextmanager
def report_missing_packages() -> Iterator[None]:
    """Raise `SourceError` if an adapter needs a package of the extra `sources` that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SourceError(
            f"The Python package {error.name} is not installed.", hint="Run `pip install './leadline[sources]'`."
        ) from error
