"""Estimates the chunks, processor time, memory and disk space that documents require in one process or a cluster."""

from dataclasses import dataclass
from math import ceil
from typing import Literal

from api.sizing.constants import Constants

_FLOAT_BYTES = 4
_GB = 1e9
# Fraction of a node's memory for vectors. The remaining memory is for the keyword index, requests and the operating
# system.
_VECTOR_SHARE = 0.5
_MAX_EMBEDDED_CHUNKS = 1_000_000


@dataclass(frozen=True)
class CorpusSize:
    """The size of a set of documents. `uploaded_bytes` is the total size of their files."""

    documents: int
    tokens: int
    uploaded_bytes: int
    chunks: int


def estimate_corpus(
    document_count: int, tokens_per_document: float, constants: Constants, *, bytes_per_document: float | None = None
) -> CorpusSize:
    """Estimate the size of a set of documents. Without `bytes_per_document`, the files are assumed to be plain text.

    The last chunk of a document is assumed to be half full on average.
    """
    chunks = document_count * max(1.0, tokens_per_document / constants["chunk_tokens"] + 0.5)
    size = tokens_per_document * constants["token_bytes"] if bytes_per_document is None else bytes_per_document
    return CorpusSize(
        document_count, ceil(document_count * tokens_per_document), ceil(document_count * size), ceil(chunks)
    )


@dataclass(frozen=True)
class EmbeddedResources:
    """The processor time, memory and disk space that one process needs to index all documents."""

    processor_seconds: float
    memory_bytes: float
    disk_bytes: float

    def compute_index_seconds(self, core_count: float) -> float:
        """Return the time to index all documents on an otherwise idle machine, using all its cores."""
        return self.processor_seconds / core_count


def estimate_embedded_resources(corpus: CorpusSize, constants: Constants) -> EmbeddedResources:
    """Estimate the embedded service's resources as a constant plus amounts per document, chunk and token."""

    def compute_total(name: str) -> float:
        return (
            constants[f"{name}_empty"]
            + corpus.documents * constants[f"{name}_a_document"]
            + corpus.chunks * constants[f"{name}_a_chunk"]
            + corpus.tokens * constants[f"{name}_a_token"]
        )

    return EmbeddedResources(
        processor_seconds=compute_total("processor_seconds"),
        memory_bytes=compute_total("memory_bytes"),
        disk_bytes=compute_total("disk_bytes") + corpus.uploaded_bytes,
    )


@dataclass(frozen=True)
class Machine:
    """The size of each machine in a cluster."""

    cores: int = 16
    memory_gb: float = 64.0


@dataclass(frozen=True)
class IndexPlan:
    """The layout of an index on the vector server, and the `reason` for its number of nodes."""

    nodes: int
    shards: int
    replicas: int
    quantization: Literal["none", "int8"]
    memory_bytes: float
    disk_bytes: float
    reason: str


def plan_index(
    corpus: CorpusSize, machine: Machine, constants: Constants, *, vector_dimension: int, high_availability: bool
) -> IndexPlan:
    """Choose the number of nodes, shards and replicas, and the quantization.

    If `high_availability` is true, every shard has replicas on two of at least three nodes. Full vectors, which are
    exact, are used if they fit in the memory of these nodes, or of one node if `high_availability` is false. Otherwise,
    searches use vectors quantized to one byte per dimension, and rescore the best hits with full vectors from disk.
    """
    replicas = 2 if high_availability else 1
    overhead, most = constants["vector_overhead"], 3 if high_availability else 1
    room = machine.memory_gb * _GB * _VECTOR_SHARE
    full = corpus.chunks * vector_dimension * _FLOAT_BYTES * overhead * replicas
    quantized = full / _FLOAT_BYTES
    words = corpus.chunks * constants["disk_bytes_a_chunk"] * replicas
    least = 3 if high_availability else 1
    # guard: large-vectors-quantized
    if full <= room * most:
        nodes, memory, kind = least, full, "none"
        reason = f"full vectors fit in the memory of {nodes}"
    else:
        nodes, memory, kind = max(least, ceil(quantized / room)), quantized, "int8"
        reason = f"full vectors would need the memory of {ceil(full / room)} nodes"
    disk = corpus.chunks * vector_dimension * (_FLOAT_BYTES + (1 if kind == "int8" else 0)) * replicas + words
    shards = 1 if nodes == 1 else 2 * nodes
    quantization: Literal["none", "int8"] = "int8" if kind == "int8" else "none"
    return IndexPlan(nodes, shards, replicas, quantization, memory, disk, reason)


def fits_in_one_process(corpus: CorpusSize, machine_memory_bytes: float, constants: Constants) -> bool:
    """Return whether the embedded service can handle the documents.

    Its searches compare the query with every vector, which is fast up to a million vectors.
    """
    needs = estimate_embedded_resources(corpus, constants)
    # guard: more-memory-needs-cluster
    # guard: many-chunks-need-cluster
    return corpus.chunks <= _MAX_EMBEDDED_CHUNKS and needs.memory_bytes <= machine_memory_bytes * _VECTOR_SHARE
