"""The bare encoder's speed: what everything that embeds is measured against, in the same run."""

import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from ingest.chunking import chunk_text
from ingest.storage.texts.chunks import build_context_line
from ingest.storage.texts.layout import build_markdown_layout
from retrieval.build import open_embedded_encoder
from retrieval.models.store import ModelStore

_BATCH = 256


def sample_chunks(files: Iterable[tuple[str, Path]], size: int) -> list[str]:
    """Chunks spread evenly over the folder's text files, as the pipeline would give them to the encoder."""
    texts: list[str] = []
    for name, path in files:
        body = path.read_bytes().decode("utf-8", "replace")
        texts += [
            f"{build_context_line(name, chunk.heading_path)}\n{body[chunk.start : chunk.end]}"
            for chunk in chunk_text(body, build_markdown_layout(body))
        ]
    chosen = np.random.default_rng(0).permutation(len(texts))[:size]
    return [texts[index] for index in chosen]


def bare_rates(models: ModelStore, texts: Sequence[str]) -> list[float]:
    """Tokens per second of the encoder alone, batch by batch."""
    encoder = open_embedded_encoder(models)
    encoder.embed_documents(texts[:_BATCH])  # the first batch pays for memory
    rates: list[float] = []
    for at in range(0, len(texts) - _BATCH + 1, _BATCH):
        begun = time.perf_counter()
        embedded = encoder.embed_documents(texts[at : at + _BATCH])
        rates.append(embedded.total_tokens / (time.perf_counter() - begun))
    encoder.close()
    return rates
