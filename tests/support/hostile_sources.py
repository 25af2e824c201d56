"""Sources of a whole service whose items, faults and lies a test decides."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import BaseModel

from api.client import Client
from api.sources.schemas import SourceOut, SyncOut
from ingest.sources import registry
from ingest.sources.port import Source, SourceContext, SourceKind
from tests.support.cluster import wait_until

SCRIPTED = "scripted"


class ScriptedOptions(BaseModel):
    """None."""


@contextmanager
def scripted_kind(source: Source) -> Iterator[None]:
    """Let this process have a kind of sources of which each is the given one."""

    def build(options: ScriptedOptions, context: SourceContext) -> Source:
        return source

    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(registry.SOURCE_KINDS, SCRIPTED, SourceKind(SCRIPTED, ScriptedOptions, build))
        yield


def wait_for_sync(client: Client, source_id: str, *, seconds: float = 300.0) -> SyncOut:
    """Wait until the last sync of a source has ended."""

    def load() -> SyncOut:
        return next(iter(client.syncs(source_id)))

    wait_until(lambda: load().ended_at is not None, what="the sync has ended", seconds=seconds)
    return load()


def synchronize(client: Client, source: SourceOut) -> SyncOut:
    """Synchronize a source once."""
    client.sync_source(source.id)
    return wait_for_sync(client, source.id)
