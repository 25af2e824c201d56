"""Computes the size of a language model's weights and KV cache from its checkpoint's `config.json`.

Supports dense and mixture-of-experts decoders with grouped-query attention (GQA), multi-head latent attention (MLA,
DeepSeek), sliding windows, and linear attention with a state of fixed size (Qwen3-Next).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingest.storage.errors import LeadlineError

_BF16_BYTES = 2.0
_BITS = {"fp8": 8.0, "int8": 8.0, "mxfp4": 4.25, "nvfp4": 4.5}
"""Bits per weight of a linear layer, including the scale that 32 (`mxfp4`) or 16 (`nvfp4`) weights share."""
_GROUPED = frozenset({"awq", "awq_marlin", "gptq", "gptq_marlin"})
_DEFAULT_GROUP = 128
_CACHE_BYTES = {"auto": 2.0, "bfloat16": 2.0, "float16": 2.0, "fp8": 1.0, "fp8_e4m3": 1.0, "fp8_e5m2": 1.0}
# Types of layers with a fixed-size state instead of a KV cache.
_LINEAR_LAYERS = frozenset({"linear_attention", "mamba"})
_WINDOWED_LAYERS = frozenset({"sliding_attention", "chunked_attention"})


class CheckpointError(LeadlineError):
    """A checkpoint's configuration cannot be read, or the model's memory cannot be computed from it."""

    code = "checkpoint"
    default_hint = "Use a checkpoint's folder, its config.json, or one of the models that `leadline plan model` lists."


@dataclass(frozen=True)
class KvCache:
    """The cache size of one sequence in bytes: per token, per token of the last `window`, and a constant."""

    token_bytes: float
    windowed_token_bytes: float = 0.0
    window: int = 0
    state_bytes: float = 0.0

    def compute_sequence_size(self, sequence_tokens: int) -> float:
        """Return the cache size in bytes for a sequence of this many tokens."""
        # guard: attention-window
        return (
            self.token_bytes * sequence_tokens
            + self.windowed_token_bytes * min(sequence_tokens, self.window)
            + self.state_bytes
        )


@dataclass(frozen=True)
class Checkpoint:
    """The sizes of a decoder.

    * `linear`: the number of weights in linear layers, which quantization shrinks
    * `other`: the number of all other weights
    * `active`: the number of weights read per token, which excludes experts that are not chosen
    * `experts`: the number of `linear` weights in routed experts
    * `cached_heads`: the number of KV heads that can be distributed over GPUs. It is 1 for a latent cache, because
      every GPU holds all of it.
    """

    name: str
    linear: int
    other: int
    active: int
    experts: int
    layers: int
    hidden: int
    widest: int
    vocabulary: int
    cached_heads: int
    cache: KvCache
    context_tokens: int
    bits: float
    experts_only: bool = False
    stated_bytes: int | None = None

    @property
    def parameter_count(self) -> int:
        return self.linear + self.other

    @property
    def weight_bytes(self) -> float:
        """The size of the weights in bytes, from the checkpoint's index, or computed if it has no index."""
        if self.stated_bytes is not None:
            return float(self.stated_bytes)
        quantized = self.experts if self.experts_only else self.linear
        return quantized * self.bits / 8 + (self.parameter_count - quantized) * _BF16_BYTES

    @property
    def active_bytes(self) -> float:
        """The number of bytes of weights read to generate one token of one sequence."""
        return self.weight_bytes * self.active / self.parameter_count

    def with_quantization(self, method: str | None, cache_dtype: str = "auto") -> "Checkpoint":
        """Return the checkpoint's sizes with this weight quantization and KV cache type.

        Raises `CheckpointError` if the method or cache type is unknown.
        """
        if cache_dtype not in _CACHE_BYTES:
            raise CheckpointError(f"Unknown KV cache type {cache_dtype!r}. Known types: {', '.join(_CACHE_BYTES)}.")
        factor = _CACHE_BYTES[cache_dtype] / _BF16_BYTES
        cache = replace(
            self.cache,
            token_bytes=self.cache.token_bytes * factor,
            windowed_token_bytes=self.cache.windowed_token_bytes * factor,
        )
        if method is None:
            return replace(self, cache=cache)
        return replace(
            self,
            cache=cache,
            bits=_compute_bits_per_weight({"quant_method": method}),
            experts_only=False,
            stated_bytes=None,
        )


def load_checkpoint(path: Path) -> Checkpoint:
    """Load a checkpoint from a folder with a `config.json`, or from the path of that file.

    Raises `CheckpointError` if the file cannot be read or describes an unknown kind of model.
    """
    file = path / "config.json" if path.is_dir() else path
    index = file.with_name("model.safetensors.index.json")
    try:
        config = json.loads(file.read_text("utf-8"))
        total = json.loads(index.read_text("utf-8"))["metadata"].get("total_size") if index.exists() else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"Could not read {file}: {error}.") from error
    # guard: checkpoint-config-object
    if not isinstance(config, dict):
        raise CheckpointError(f"{file} does not contain a JSON object.")
    name = path.name if path.is_dir() else file.parent.name
    return replace(parse_checkpoint(config, name=name), stated_bytes=total)


def parse_checkpoint(config: Mapping[str, Any], *, name: str) -> Checkpoint:
    """Compute the sizes of the model that `config` describes. Raises `CheckpointError` if that is not possible."""
    text = {**config, **(config.get("text_config") or {})}
    try:
        return _SizeCounter(text, name).build_checkpoint()
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(
            f"The configuration of {name} does not describe a supported decoder: {error!r}."
        ) from error


class _SizeCounter:
    """Counts the weights and cache values of the model that a configuration describes."""

    def __init__(self, config: Mapping[str, Any], name: str) -> None:
        self._config = config
        self._name = name
        self.hidden = int(config["hidden_size"])
        self.layers = int(config["num_hidden_layers"])
        self.heads = int(config["num_attention_heads"])
        self.cached_heads = int(config.get("num_key_value_heads") or self.heads)
        self.head = int(config.get("head_dim") or self.hidden // self.heads)
        self.inner = int(config.get("intermediate_size") or 0)

    def build_checkpoint(self) -> Checkpoint:
        kinds = [self._get_layer_kind(layer) for layer in range(self.layers)]
        attention = sum(self._count_attention_weights(kind) for kind in kinds)
        dense, routed, chosen = map(
            sum, zip(*(self._count_feed_forward_weights(layer) for layer in range(self.layers)), strict=True)
        )
        embedding = int(self._config["vocab_size"]) * self.hidden
        tied = bool(self._config.get("tie_word_embeddings", False))
        other = embedding * (1 if tied else 2) + self.hidden * (2 * self.layers + 1)
        quantization = self._config.get("quantization_config") or {}
        return Checkpoint(
            name=self._name,
            linear=attention + dense + routed,
            other=other,
            # The input embedding is not counted, because it is only a lookup table, but every token is multiplied by
            # the output head.
            active=attention + dense + chosen + embedding,
            experts=routed,
            layers=self.layers,
            hidden=self.hidden,
            widest=max(self.inner, self._expert_hidden_width * int(self._config.get("num_experts_per_tok") or 1)),
            vocabulary=int(self._config["vocab_size"]),
            cached_heads=1 if self._latent_width else self.cached_heads,
            cache=self._build_kv_cache(kinds),
            context_tokens=int(self._config.get("max_position_embeddings") or 0),
            bits=_compute_bits_per_weight(quantization),
            experts_only=quantization.get("quant_method") == "mxfp4",
        )

    @property
    def _latent_width(self) -> int:
        return int(self._config.get("kv_lora_rank") or 0)

    @property
    def _expert_count(self) -> int:
        names = ("num_local_experts", "num_experts", "n_routed_experts")
        return next((int(self._config[name]) for name in names if self._config.get(name)), 0)

    @property
    def _expert_hidden_width(self) -> int:
        return int(self._config.get("moe_intermediate_size") or self.inner) if self._expert_count else 0

    def _get_layer_kind(self, layer_index: int) -> str:
        stated: Sequence[str] = self._config.get("layer_types") or ()
        if stated:
            return stated[layer_index]
        # guard: attention-window-off
        if not self._config.get("sliding_window") or self._config.get("use_sliding_window") is False:
            return "full_attention"
        every = int(self._config.get("sliding_window_pattern") or 0)
        return "full_attention" if every and (layer_index + 1) % every == 0 else "sliding_attention"

    def _count_attention_weights(self, layer_kind: str) -> int:
        if layer_kind in _LINEAR_LAYERS:
            keys, values = self._compute_linear_attention_widths()
            return self.hidden * (2 * keys + 2 * values) + values * self.hidden
        if self._latent_width:
            return self._count_latent_attention_weights()
        queries, cached = self.heads * self.head, self.cached_heads * self.head
        # Qwen2 has biases for queries, keys and values that its configuration does not mention.
        has_bias = self._config.get("attention_bias") or str(self._config.get("model_type", "")).startswith("qwen2")
        # Qwen3-Next gates attention's output with a projection as wide as the queries.
        gated = queries if self._config.get("model_type") == "qwen3_next" else 0
        biases = queries + 2 * cached if has_bias else 0
        return self.hidden * (2 * queries + gated + 2 * cached) + biases

    def _count_latent_attention_weights(self) -> int:
        config = self._config
        rope, plain, value = (int(config[f"{part}_head_dim"]) for part in ("qk_rope", "qk_nope", "v"))
        narrow = int(config.get("q_lora_rank") or 0)
        wide = self.heads * (plain + rope)
        queries = self.hidden * narrow + narrow * wide if narrow else self.hidden * wide
        cached = self.hidden * (self._latent_width + rope) + self._latent_width * self.heads * (plain + value)
        return queries + cached + self.heads * value * self.hidden

    def _count_feed_forward_weights(self, layer_index: int) -> tuple[int, int, int]:
        """Count a layer's weights: those read for every token, in all routed experts, and in a token's experts."""
        if not self._is_sparse_layer(layer_index):
            return 3 * self.hidden * self.inner, 0, 0
        expert = 3 * self.hidden * self._expert_hidden_width
        shared = int(self._config.get("shared_expert_intermediate_size") or 0)
        shared += int(self._config.get("n_shared_experts") or 0) * self._expert_hidden_width
        always = self.hidden * self._expert_count + 3 * self.hidden * shared
        return always, self._expert_count * expert, int(self._config.get("num_experts_per_tok") or 1) * expert

    def _is_sparse_layer(self, layer_index: int) -> bool:
        if not self._expert_count or layer_index in (self._config.get("mlp_only_layers") or ()):
            return False
        step = int(self._config.get("decoder_sparse_step") or self._config.get("moe_layer_freq") or 1)
        return layer_index >= int(self._config.get("first_k_dense_replace") or 0) and (layer_index + 1) % step == 0

    def _build_kv_cache(self, layer_kinds: Sequence[str]) -> KvCache:
        """Build the KV cache with 16-bit values, the default type (`auto`)."""
        linear = sum(kind in _LINEAR_LAYERS for kind in layer_kinds)
        windowed = sum(kind in _WINDOWED_LAYERS for kind in layer_kinds)
        numbers = 2 * self.cached_heads * self.head
        if self._latent_width:
            numbers = self._latent_width + int(self._config["qk_rope_head_dim"])
        return KvCache(
            token_bytes=(len(layer_kinds) - linear - windowed) * numbers * _BF16_BYTES,
            windowed_token_bytes=windowed * numbers * _BF16_BYTES,
            window=int(self._config.get("sliding_window") or self._config.get("attention_chunk_size") or 0),
            state_bytes=linear * self._count_state_values() * _BF16_BYTES if linear else 0.0,
        )

    def _compute_linear_attention_widths(self) -> tuple[int, int]:
        config = self._config
        keys = int(config["linear_num_key_heads"]) * int(config["linear_key_head_dim"])
        return keys, int(config["linear_num_value_heads"]) * int(config["linear_value_head_dim"])

    def _count_state_values(self) -> int:
        keys, values = self._compute_linear_attention_widths()
        # Size of the recurrent state. The convolution over queries, keys and values also stores its last inputs.
        remembered = values * int(self._config["linear_key_head_dim"])
        return remembered + (2 * keys + values) * (int(self._config.get("linear_conv_kernel_dim") or 4) - 1)


def _compute_bits_per_weight(quantization: Mapping[str, Any]) -> float:
    """Return the bits per weight of a linear layer, including its share of the scales.

    Raises `CheckpointError` if the quantization method is unknown.
    """
    method = str(quantization.get("quant_method") or "none").lower()
    if method == "none":
        return 8 * _BF16_BYTES
    if method in _GROUPED:
        width = float(quantization.get("bits") or quantization.get("w_bit") or 4)
        group = int(quantization.get("group_size") or quantization.get("q_group_size") or _DEFAULT_GROUP)
        return width + (16 + width) / (group if group > 0 else _DEFAULT_GROUP)
    if method == "compressed-tensors":
        groups = [each["weights"] for each in quantization["config_groups"].values() if each.get("weights")]
        weights = max(groups, key=lambda each: float(each["num_bits"]))
        group = int(weights.get("group_size") or 0)
        return float(weights["num_bits"]) + (16 / group if group > 0 else 0)
    if method in _BITS:
        return _BITS[method]
    # guard: unknown-quantization
    raise CheckpointError(f"Unknown quantization method {method!r}.")
