"""Opens what adapters of sources need for one request."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from api.settings.settings import Settings
from api.settings.source_context import build_source_context
from ingest.sources.port import SourceContext


@contextmanager
def open_source_context(settings: Settings, tenant_id: str) -> Iterator[SourceContext]:
    """Return what the service permits to a tenant's adapters, with an empty folder that is removed afterwards."""
    with TemporaryDirectory(prefix="leadline-source-") as scratch:
        yield build_source_context(settings, Path(scratch)).for_tenant(tenant_id)
