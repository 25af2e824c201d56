"""Collections of the double: an engine shard and a configuration each, in a folder that outlives the process."""

import json
import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qdrant_edge as edge
from qdrant_client import models

from tests.support.qdrant_double.refusals import Refusal, only

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_CONFIG = "collection.json"
_HNSW = {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000, "max_indexing_threads": 0, "on_disk": False}
_OPTIMIZERS = {
    "deleted_threshold": 0.2,
    "vacuum_min_vector_number": 1000,
    "default_segment_number": 0,
    "indexing_threshold": 10_000,
    "flush_interval_sec": 5,
}


class Collection:
    """A shard with what the server knows of it and the engine in process does not."""

    def __init__(self, folder: Path, config: dict[str, Any], shard: edge.EdgeShard) -> None:
        self.shard = shard
        self._folder = folder
        self._config = config
        self._writing = threading.Lock()

    @property
    def strict(self) -> models.StrictModeConfig:
        return models.StrictModeConfig.model_validate(self._config["strict_mode_config"])

    @property
    def params(self) -> dict[str, Any]:
        """What was asked for when it was made, such as the numbers of shards and copies."""
        return dict(self._config["params"])

    def update(self, operation: edge.UpdateOperation) -> None:
        """Apply and flush. The engine's log outlives a kill of the process; the flush is for the machine's."""
        with self._writing, engine_errors():
            self.shard.update(operation)
            self.shard.flush()

    def change(self, part: str, values: dict[str, Any]) -> None:
        """Merge values into a part of the configuration."""
        with self._writing:
            self._config[part] = {**self._config.get(part, {}), **values}
            save(self._folder, self._config)

    def describe(self) -> dict[str, Any]:
        """The server's `CollectionInfo`."""
        info, config = self.shard.info(), self._config
        return {
            "status": "green",
            "optimizer_status": "ok",
            "indexed_vectors_count": info.indexed_vectors_count,
            "points_count": info.points_count,
            "segments_count": info.segments_count,
            "config": {
                "params": config["params"],
                "hnsw_config": {**_HNSW, **config["hnsw_config"]},
                "optimizer_config": {**_OPTIMIZERS, **config["optimizers_config"]},
                "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
                "quantization_config": config["quantization_config"],
                "strict_mode_config": config["strict_mode_config"],
                **({"metadata": config["metadata"]} if config.get("metadata") else {}),
            },
            "payload_schema": {field: _index_out(index) for field, index in info.payload_schema.items()},
        }

    def close(self) -> None:
        with self._writing:
            self.shard.flush()
            self.shard.close()


class Collections:
    """Every collection of a folder. One that was not wholly made when its process died is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._changing = threading.Lock()
        self._open: dict[str, Collection] = {}
        for inside in sorted(folder.iterdir()):
            if (inside / _CONFIG).exists():
                config = json.loads((inside / _CONFIG).read_text())
                self._open[inside.name] = Collection(inside, config, edge.EdgeShard.load(str(inside / "shard")))
            elif inside.is_dir():
                shutil.rmtree(inside)

    def names(self) -> list[str]:
        return sorted(self._open)

    def get(self, name: str) -> Collection:
        if name not in self._open:
            raise Refusal(404, f"Collection `{name}` doesn't exist!")
        return self._open[name]

    def create(self, name: str, wanted: models.CreateCollection) -> None:
        if not _NAME.fullmatch(name):
            raise Refusal(422, f"Validation error in path parameters: [name: {name!r}]")
        config = _config(wanted)
        with self._changing:
            if name in self._open:
                raise Refusal(409, f"Collection `{name}` already exists!")
            folder = self._folder / name
            folder.mkdir()
            with engine_errors():
                shard = edge.EdgeShard.create(str(folder / "shard"), _edge_config(wanted))
                shard.flush()
            save(folder, config)
            self._open[name] = Collection(folder, config, shard)

    def delete(self, name: str) -> bool:
        with self._changing:
            collection = self._open.pop(name, None)
            if collection is None:
                return False
            (self._folder / name / _CONFIG).unlink()
            collection.close()
            shutil.rmtree(self._folder / name)
            return True

    def close(self) -> None:
        for collection in self._open.values():
            collection.close()


@contextmanager
def engine_errors() -> Iterator[None]:
    """The engine raises bare `Exception`; the server turns the same errors into these statuses."""
    try:
        yield
    except Refusal:
        raise
    except Exception as error:
        text = str(error)
        if text.startswith("No point with id"):
            raise Refusal(404, f"{text} found") from error
        raise Refusal(400, f"Wrong input: {text}") from error


def save(folder: Path, config: dict[str, Any]) -> None:
    """Replace the configuration in one step."""
    draft = folder / f"{_CONFIG}.new"
    with draft.open("w") as out:
        json.dump(config, out)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(folder / _CONFIG)


def _config(wanted: models.CreateCollection) -> dict[str, Any]:
    only(
        wanted,
        *("vectors", "sparse_vectors", "on_disk_payload", "shard_number", "replication_factor"),
        *("write_consistency_factor", "hnsw_config", "quantization_config", "optimizers_config", "strict_mode_config"),
        "metadata",
    )
    given = wanted.model_dump(mode="json", exclude_none=True)
    # One shard and one copy, whatever is asked for: the numbers are kept and told, not acted on.
    params = {"shard_number": 1, "replication_factor": 1, "write_consistency_factor": 1, "on_disk_payload": True}
    names = ("vectors", "sparse_vectors", *params)
    return {
        "params": {**params, **{name: given[name] for name in names if name in given}},
        "hnsw_config": given.get("hnsw_config", {}),
        "optimizers_config": given.get("optimizers_config", {}),
        "quantization_config": given.get("quantization_config"),
        "strict_mode_config": given.get("strict_mode_config", {"enabled": False}),
        "metadata": given.get("metadata", {}),
    }


def _edge_config(wanted: models.CreateCollection) -> edge.EdgeConfig:
    if not isinstance(wanted.vectors, dict):
        raise Refusal(400, "the test double knows named vectors only")
    return edge.EdgeConfig(
        vectors={name: _dense(params) for name, params in wanted.vectors.items()},
        sparse_vectors={name: _sparse(params) for name, params in (wanted.sparse_vectors or {}).items()},
        hnsw_config=_hnsw(wanted.hnsw_config),
        quantization_config=_quantization(wanted.quantization_config),
    )


def _dense(params: models.VectorParams) -> edge.EdgeVectorParams:
    only(params, "size", "distance", "on_disk")
    distance = getattr(edge.Distance, params.distance.value)
    return edge.EdgeVectorParams(size=params.size, distance=distance, on_disk=params.on_disk)


def _sparse(params: models.SparseVectorParams) -> edge.EdgeSparseVectorParams:
    only(params, "modifier", "index")
    on_disk = None
    if params.index is not None:
        only(params.index, "on_disk")
        on_disk = params.index.on_disk
    modifier = edge.Modifier.Idf if params.modifier is models.Modifier.IDF else None
    return edge.EdgeSparseVectorParams(modifier=modifier, on_disk=on_disk)


def _hnsw(diff: models.HnswConfigDiff | None) -> edge.HnswIndexConfig | None:
    if diff is None:
        return None
    only(diff, "m", "ef_construct", "payload_m")
    values = {**_HNSW, **diff.model_dump(exclude_none=True)}
    return edge.HnswIndexConfig(**values)


def _quantization(given: Any) -> edge.ScalarQuantizationConfig | None:  # noqa: ANN401 - one of many kinds
    if given is None:
        return None
    if not isinstance(given, models.ScalarQuantization):
        raise Refusal(400, f"the test double does not know {type(given).__name__}")
    only(given.scalar, "type", "quantile", "always_ram")
    return edge.ScalarQuantizationConfig(
        edge.ScalarType.Int8, quantile=given.scalar.quantile, always_ram=given.scalar.always_ram
    )


def _index_out(index: Any) -> dict[str, Any]:  # noqa: ANN401 - the engine does not export the type
    made: dict[str, Any] = {"data_type": "keyword", "points": index.points}
    if isinstance(index.params, edge.KeywordIndexParams):
        params = {"is_tenant": index.params.is_tenant, "enable_hnsw": index.params.enable_hnsw}
        made["params"] = {"type": "keyword", **{name: value for name, value in params.items() if value is not None}}
    return made
