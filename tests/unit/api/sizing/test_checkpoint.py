"""Weights and caches of models whose makers, or others, published them."""

import json
from pathlib import Path

import pytest

from api.sizing.checkpoint import CheckpointError, load_checkpoint, parse_checkpoint
from api.sizing.models import list_model_names, load_model_checkpoint

KIB = 1024
TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1000,
    "tie_word_embeddings": True,
}


@pytest.mark.parametrize(
    ("model", "billions", "active_billions"),
    [
        # The makers' model cards.
        ("meta-llama/Llama-3.1-8B-Instruct", 8.03, None),
        ("meta-llama/Llama-3.1-405B-Instruct", 405.85, None),
        ("Qwen/Qwen2.5-7B-Instruct", 7.62, None),
        ("Qwen/Qwen2.5-72B-Instruct", 72.7, None),
        ("Qwen/Qwen3-8B", 8.19, None),
        ("Qwen/Qwen3-30B-A3B-Instruct-2507", 30.5, 3.3),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", 235, 22),
        ("openai/gpt-oss-20b", 20.9, 3.6),
        ("openai/gpt-oss-120b", 116.8, 5.1),
        ("deepseek-ai/DeepSeek-V3", 671, 37),
    ],
)
def test_weights_are_as_many_as_published(model: str, billions: float, active_billions: float | None) -> None:
    made = load_model_checkpoint(model)
    assert made.parameter_count / 1e9 == pytest.approx(billions, rel=0.005)
    if active_billions is not None:  # published with one or two digits, some with the embedding and some without
        assert made.active / 1e9 == pytest.approx(active_billions, rel=0.1)


@pytest.mark.parametrize(
    ("model", "token_bytes"),
    [
        # "Insights into DeepSeek-V3", ISCA 2025, table 1: KB a token in 16 bits.
        ("deepseek-ai/DeepSeek-V3", 70_272),
        ("Qwen/Qwen2.5-72B-Instruct", 327_680),
        ("meta-llama/Llama-3.1-405B-Instruct", 516_096),
        ("meta-llama/Llama-3.1-8B-Instruct", 128 * KIB),
    ],
)
def test_a_token_takes_as_much_cache_as_published(model: str, token_bytes: int) -> None:
    assert load_model_checkpoint(model).cache.token_bytes == token_bytes


@pytest.mark.parametrize(
    ("model", "gib"),
    [
        # Sizes of the files that the makers publish: 12.8 GiB for the first (its card), 60.8 GiB for the second.
        ("openai/gpt-oss-20b", 12.8),
        ("openai/gpt-oss-120b", 60.8),
    ],
)
def test_quantized_weights_take_what_the_published_files_do(model: str, gib: float) -> None:
    assert load_model_checkpoint(model).weight_bytes / KIB**3 == pytest.approx(gib, rel=0.01)


def test_a_window_bounds_the_cache_of_its_layers() -> None:
    made = parse_checkpoint(TINY | {"sliding_window": 100, "sliding_window_pattern": 2}, name="tiny")
    layer = 2 * 2 * 16 * 2
    assert made.cache.compute_sequence_size(50) == 4 * layer * 50
    assert made.cache.compute_sequence_size(1000) == 2 * layer * 1000 + 2 * layer * 100


def test_a_window_that_is_switched_off_bounds_nothing() -> None:
    made = parse_checkpoint(TINY | {"sliding_window": 100, "use_sliding_window": False}, name="tiny")
    assert made.cache.compute_sequence_size(1000) == 4 * 2 * 2 * 16 * 2 * 1000


def test_layers_that_keep_a_state_take_the_same_for_any_length() -> None:
    linear = {
        "layer_types": ["linear_attention"] * 3 + ["full_attention"],
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_num_value_heads": 4,
        "linear_value_head_dim": 8,
        "linear_conv_kernel_dim": 4,
    }
    cache = parse_checkpoint(TINY | linear, name="tiny").cache
    assert cache.compute_sequence_size(2000) - cache.compute_sequence_size(1000) == 1000 * 2 * 2 * 16 * 2
    assert cache.state_bytes == 3 * 2 * (32 * 8 + 3 * (2 * 16 + 32))


@pytest.mark.parametrize(
    ("quantization", "bits"),
    [
        ({}, 16),
        ({"quant_method": "fp8"}, 8),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 4 + 20 / 128),
        ({"quant_method": "gptq", "bits": 8, "group_size": -1}, 8 + 24 / 128),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}},
            },
            4.5,
        ),
    ],
)
def test_bits_of_a_weight_are_read_from_the_quantization(quantization: dict[str, object], bits: float) -> None:
    made = parse_checkpoint(TINY | {"quantization_config": quantization}, name="tiny")
    assert made.bits == bits
    assert made.weight_bytes == made.linear * bits / 8 + made.other * 2


def test_a_cache_of_eight_bits_takes_half() -> None:
    made = load_model_checkpoint("Qwen/Qwen3-8B")
    assert made.with_quantization(None, "fp8").cache.token_bytes * 2 == made.cache.token_bytes


def test_a_folder_is_read_and_the_size_that_its_index_states_is_taken(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": TINY, "model_type": "seen"}))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 12_345}}))
    made = load_checkpoint(tmp_path)
    assert (made.name, made.layers, made.weight_bytes) == (tmp_path.name, 4, 12_345)
    assert made.with_quantization("fp8").weight_bytes == made.linear + made.other * 2


@pytest.mark.parametrize(
    "config", ["[]", "{", "{}", json.dumps(TINY | {"quantization_config": {"quant_method": "odd"}})]
)
def test_what_cannot_be_computed_is_said(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(CheckpointError):
        load_checkpoint(tmp_path)


def test_a_model_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(CheckpointError) as raised:
        load_model_checkpoint("nobody/nothing")
    assert "Qwen/Qwen3-8B-AWQ" in raised.value.hint
    assert all(load_model_checkpoint(name).parameter_count > 1e8 for name in list_model_names())
