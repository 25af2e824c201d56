"""One process of a test cluster: as `leadline api`, `worker` and `beat`, with an encoder that needs no model.

Where LEADLINE_ENCODER names one, that is used.
"""

import argparse
import logging

from api.build.cluster import build_answer_service_opener, build_describer_opener, open_cluster_services
from api.build.index_access import open_index_access
from api.cli.console_logging import configure_logging
from api.cli.serving import serve_requests
from api.settings.settings import Settings
from ingest.storage.generations.records import GenerationState
from retrieval.encoders.registry import Encoders
from tests.support.encoders import cluster_encoders
from tests.support.fault_folder import arm_from_environment
from tests.support.poison import limit_memory, poisoned_parser
from workers.cluster import open_configured_encoders
from workers.main import run_beat, run_worker
from workers.settings import ClusterSettings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["api", "worker", "beat", "move", "rebuild"])
    parser.add_argument("--queues", default="ingest,embed,runs,upkeep")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--name", default="worker")
    arguments = parser.parse_args()
    configure_logging(logging.INFO)
    cluster = ClusterSettings()
    if arguments.part == "api":
        arm_from_environment()
        with open_cluster_services(Settings(), cluster, open_encoders=_encoders) as services:
            serve_requests(services, lambda url: print(url, flush=True))
    elif arguments.part == "worker":
        run_worker(
            cluster,
            queues=arguments.queues.split(","),
            concurrency=arguments.concurrency,
            name=arguments.name,
            open_encoders=_encoders,
            open_parser=poisoned_parser,
            open_answers=build_answer_service_opener(Settings()),
            open_describer=build_describer_opener(Settings()),
            on_child_start=_start_child,
        )
    elif arguments.part == "move":
        arm_from_environment()
        move(cluster)
    elif arguments.part == "rebuild":
        rebuild(cluster)
    else:
        run_beat(cluster)


def move(cluster: ClusterSettings) -> None:
    """Build a generation with another encoder, or go on with that; switch to it, and throw the one before away."""
    with open_index_access(Settings(), cluster=cluster, encoders=_encoders(cluster)) as access:
        records, mover = access.records, access.build_switcher(lambda _progress, _chunks: None)
        beside = records.find_inactive_generation()
        if beside is None or beside.state is GenerationState.BUILDING:
            now = records.load_active_generation().encoder
            other = next(choice for choice in access.encoders.choices if choice.fingerprint != now)
            mover.build_generation(None if beside else other, access.sparse.fingerprint)
            mover.switch()
        records.discard_inactive_generation(allow_unfinished=False)
        access.delete_discarded_indexes()


def rebuild(cluster: ClusterSettings) -> None:
    """Make the index again, as `leadline index rebuild` does."""
    with open_index_access(Settings(), cluster=cluster, encoders=_encoders(cluster)) as access:
        access.rebuild_index(lambda _progress, _chunks: None)
        access.delete_discarded_indexes()


def _start_child() -> None:
    if ClusterSettings().encoder is None:  # a model maps far more than it uses
        limit_memory()
    arm_from_environment()


def _encoders(settings: ClusterSettings) -> Encoders:
    return cluster_encoders() if settings.encoder is None else open_configured_encoders(settings)


if __name__ == "__main__":
    main()
