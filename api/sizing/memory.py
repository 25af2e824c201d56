"""Computes how much GPU memory a vLLM server has for its KV cache, and how many sequences fit.

At startup, vLLM measures the memory of a forward pass, and prints how many tokens fit ("GPU KV cache size"). This
module predicts that number, so that no machine is needed. The sizes of the weights and cache are exact; the memory for
the forward pass is an estimate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from api.sizing.checkpoint import Checkpoint, CheckpointError
from api.sizing.constants import Gpu

GIB = 1024.0**3
# Number of tokens per block of vLLM's cache.
_BLOCK_TOKENS = 16


@dataclass(frozen=True)
class ServerOptions:
    """The vLLM options that determine memory use, with vLLM's defaults."""

    model: str = ""
    max_model_len: int = 0
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    gpu_memory_utilization: float = 0.92
    tensor_parallel_size: int = 1
    quantization: str | None = None
    kv_cache_dtype: str = "auto"


@dataclass(frozen=True)
class MemoryPlan:
    """The bytes used on each GPU, and the number of sequences that fit in its cache."""

    gpu: Gpu
    gpus: int
    weights: float
    running: float
    cache: float
    cache_token_bytes: float
    checkpoint: Checkpoint
    options: ServerOptions

    @property
    def fits(self) -> bool:
        """True if at least one sequence fits that fills the context window."""
        return self.compute_sequence_count(self.window) >= 1

    @property
    def window(self) -> int:
        return self.options.max_model_len or self.checkpoint.context_tokens

    @property
    def tokens(self) -> int:
        """The number of tokens that fit if every sequence fills the context window."""
        return int(self.compute_sequence_count(self.window) * self.window)

    def compute_sequence_count(self, sequence_tokens: int) -> float:
        """Return the number of sequences of this many tokens that fit in the cache."""
        # guard: model-larger-than-memory
        if self.cache <= 0:
            return 0.0
        whole = -(-sequence_tokens // _BLOCK_TOKENS) * _BLOCK_TOKENS
        return self.cache / _compute_bytes_per_gpu(
            self.checkpoint, self.checkpoint.cache.compute_sequence_size(whole), self.gpus
        )

    def compute_concurrency(self, sequence_tokens: int) -> int:
        """Return the number of sequences of this many tokens that can run concurrently, at most `max_num_seqs`."""
        # guard: planned-sequences
        return min(int(self.compute_sequence_count(sequence_tokens)), self.options.max_num_seqs)


def plan_memory(checkpoint: Checkpoint, gpu: Gpu, options: ServerOptions) -> MemoryPlan:
    """Compute a GPU's memory use. Raises `CheckpointError` if the KV heads cannot be distributed over the GPUs."""
    gpus = options.tensor_parallel_size
    # guard: gpu-head-split
    if checkpoint.cached_heads > 1 and checkpoint.cached_heads % gpus and gpus % checkpoint.cached_heads:
        raise CheckpointError(
            f"{checkpoint.cached_heads} KV heads cannot be distributed over {gpus} GPUs.",
            hint="Set tensor-parallel-size to a divisor or a multiple of that number.",
        )
    served = checkpoint.with_quantization(options.quantization, options.kv_cache_dtype)
    weights = served.weight_bytes / gpus
    # Memory for activations and scores. Activations are the 16-bit inputs and outputs of two layers. Scores are the
    # 32-bit logits of the next token, counted twice because they are also converted to probabilities.
    activations = options.max_num_batched_tokens * 2 * (4 * served.hidden + 3 * served.widest / gpus)
    scores = options.max_num_seqs * served.vocabulary * 4 * 2
    running = activations + scores + gpu.context_bytes
    cache = gpu.memory_bytes * options.gpu_memory_utilization - weights - running
    token = _compute_bytes_per_gpu(served, served.cache.token_bytes + served.cache.windowed_token_bytes, gpus)
    return MemoryPlan(gpu, gpus, weights, running, cache, token, served, options)


def _compute_bytes_per_gpu(checkpoint: Checkpoint, total_bytes: float, gpu_count: int) -> float:
    """Return the part of `total_bytes` bytes that one GPU stores.

    KV heads are distributed over the GPUs, and replicated if there are fewer heads than GPUs.
    """
    return total_bytes / min(gpu_count, checkpoint.cached_heads)


def load_profile(path: Path) -> ServerOptions:
    """Load the options from a file for `vllm serve --config`. Raises `CheckpointError` if it cannot be read."""
    try:
        read = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"Could not read {path}: {error}.") from error
    if not isinstance(read, Mapping):
        raise CheckpointError(f"{path} contains no options.", hint="See the files in deploy/vllm/profiles.")
    return parse_server_options(read)


def parse_server_options(profile: Mapping[str, Any]) -> ServerOptions:
    """Parse the options of a profile that determine memory use, ignoring all others."""
    named = {str(name).replace("-", "_"): value for name, value in profile.items()}
    known = {name: named[name] for name in ServerOptions.__dataclass_fields__ if named.get(name) is not None}
    return ServerOptions(**known)
