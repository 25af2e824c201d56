"""Commands open only the parts of an index that they need, and name the command that continues a build."""

from pathlib import Path

import pytest

from api.build.index_access import open_index_access
from api.cli.index import _build_index_description, _format_next_step
from api.settings.settings import Settings
from ingest.storage.generations.records import GenerationState
from tests.support.encoders import hashing_encoders
from tests.support.generations_fixture import WHALE, GenerationsFixture
from tests.support.vector_servers import VectorServer
from workers.settings import ClusterSettings


def test_looking_at_the_index_of_a_cluster_opens_neither_its_queue_nor_its_index(
    tmp_path: Path, double: VectorServer
) -> None:
    cluster = ClusterSettings.model_validate(
        {
            "database_url": f"sqlite:///{tmp_path / 'catalog.sqlite'}",
            "redis_url": "redis://127.0.0.1:1",
            "qdrant_url": double.url,
            "home": tmp_path,
        }
    )
    settings = Settings.model_validate({"home": tmp_path, "llm": "none"})
    with open_index_access(settings, cluster=cluster, catalog_only=True, encoders=hashing_encoders()) as access:
        assert [row["state"] for row in _build_index_description(access)["generations"]] == [GenerationState.ACTIVE]
        assert (access.deps, access.generations, access.checks) == (None, None, None)
        assert access.store.find_size(1) is None


@pytest.mark.parametrize(("encoder", "command"), [("hashing", "spread"), ("hashing-32", "reembed")])
def test_index_show_names_the_command_that_began_a_generation(
    at: GenerationsFixture, encoder: str, command: str
) -> None:
    at.ready(WHALE)
    active, choice = at.records.load_active_generation(), at.choice(encoder)
    source_id = active.id if choice.fingerprint == active.encoder else None
    building = at.records.start_generation(choice.fingerprint, active.sparse, choice.dimension, source_id=source_id)
    advice = _format_next_step(building, active, at.records.load_progress())
    assert advice == f"Generation 2 is 0 % built: continue with `leadline index {command}`."
