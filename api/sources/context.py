"""Builds what adapters of sources need from the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from api.settings.settings import Settings
from ingest.sources.port import SourceContext
from ingest.storage.webhooks.destinations import Destinations


@contextmanager
def open_source_context(settings: Settings) -> Iterator[SourceContext]:
    """Return what the service permits to adapters, with an empty folder that is removed afterwards."""
    with TemporaryDirectory(prefix="leadline-source-") as scratch:
        yield SourceContext(
            Destinations.parse(settings.webhook_networks, settings.webhook_ports),
            Path(scratch),
            max_item_bytes=settings.max_upload_bytes,
        )
