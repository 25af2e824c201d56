"""Builds what adapters of sources need from the settings."""

from pathlib import Path

from api.settings.settings import Settings
from ingest.sources.port import SourceContext
from ingest.storage.webhooks.destinations import Destinations


def build_source_context(settings: Settings, scratch: Path) -> SourceContext:
    """Build the limits and permissions of adapters. `scratch` is a folder for temporary files."""
    return SourceContext(
        Destinations.parse(settings.webhook_networks, settings.webhook_ports),
        scratch,
        folders=settings.list_source_folders(),
        loaders=settings.list_source_loaders(),
        endpoints=settings.list_source_endpoints(),
        timeout_seconds=settings.source_seconds,
        max_item_bytes=settings.max_upload_bytes,
        slack_api_url=settings.slack_api_url,
    )
