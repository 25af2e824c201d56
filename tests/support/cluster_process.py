"""One process of a test cluster: as `leadline api`, `worker` and `beat`, with an encoder that needs no model."""

import argparse
import logging

from api.cli.main import configure_logging
from api.cli.serving import serve
from api.cluster import cluster_answers, open_cluster
from api.settings import Settings
from retrieval.embedding import HashingEmbedder
from tests.support.fault_folder import arm_from_environment
from tests.support.poison import PoisonedEncoder, limit_memory, poisoned_parser
from workers.main import run_beat, run_worker
from workers.settings import ClusterSettings


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=["api", "worker", "beat"])
    parser.add_argument("--queues", default="ingest,embed,runs,upkeep")
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--name", default="worker")
    arguments = parser.parse_args()
    configure_logging(logging.INFO)
    cluster = ClusterSettings()
    if arguments.part == "api":
        arm_from_environment()
        with open_cluster(Settings(), cluster, open_encoder=_hashing_encoder) as services:
            serve(services, lambda url: print(url, flush=True))
    elif arguments.part == "worker":
        run_worker(
            cluster,
            queues=arguments.queues.split(","),
            concurrency=arguments.concurrency,
            name=arguments.name,
            open_encoder=lambda _: PoisonedEncoder(),
            open_parser=poisoned_parser,
            open_answers=cluster_answers(Settings()),
            at_child_start=_start_child,
        )
    else:
        run_beat(cluster)


def _start_child() -> None:
    limit_memory()
    arm_from_environment()


def _hashing_encoder(_: ClusterSettings) -> HashingEmbedder:
    return HashingEmbedder()


if __name__ == "__main__":
    main()
