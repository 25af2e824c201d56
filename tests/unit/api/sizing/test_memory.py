"""A GPU's memory is shared out, and the profiles that ship fit the GPUs that they name."""

import re
from pathlib import Path

import pytest

from api.sizing.checkpoint import CheckpointError
from api.sizing.constants import load_constants
from api.sizing.memory import ServerOptions, load_profile, plan_memory
from api.sizing.models import load_model_checkpoint

PROFILES = Path(__file__).parents[4] / "deploy" / "vllm" / "profiles"
GPUS = load_constants().gpus


def test_what_weights_and_running_leave_is_the_cache() -> None:
    plan = plan_memory(load_model_checkpoint("Qwen/Qwen3-8B"), GPUS["h100"], ServerOptions(max_model_len=32_768))
    assert plan.weights + plan.running + plan.cache == pytest.approx(GPUS["h100"].memory_bytes * 0.92)
    assert plan.tokens * plan.cache_token_bytes == pytest.approx(plan.cache, rel=1e-4)


def test_more_gpus_share_weights_and_heads_and_copy_a_latent_cache() -> None:
    def token_bytes(model: str, gpus: int) -> float:
        options = ServerOptions(max_model_len=4096, tensor_parallel_size=gpus)
        return plan_memory(load_model_checkpoint(model), GPUS["h200"], options).cache_token_bytes

    assert token_bytes("Qwen/Qwen3-8B", 4) * 4 == token_bytes("Qwen/Qwen3-8B", 1)
    assert token_bytes("Qwen/Qwen3-8B", 16) * 8 == token_bytes("Qwen/Qwen3-8B", 1)
    assert token_bytes("deepseek-ai/DeepSeek-V3", 8) == token_bytes("deepseek-ai/DeepSeek-V3", 1)
    with pytest.raises(CheckpointError, match="8 KV heads"):
        token_bytes("Qwen/Qwen3-8B", 3)


def test_no_more_run_at_once_than_the_server_takes() -> None:
    plan = plan_memory(
        load_model_checkpoint("Qwen/Qwen3-8B"), GPUS["h200"], ServerOptions(max_model_len=4096, max_num_seqs=5)
    )
    assert plan.compute_sequence_count(100) > 5
    assert plan.compute_concurrency(100) == 5


def test_a_model_that_is_too_large_does_not_fit() -> None:
    plan = plan_memory(
        load_model_checkpoint("Qwen/Qwen2.5-72B-Instruct"), GPUS["h100"], ServerOptions(max_model_len=4096)
    )
    assert not plan.fits
    assert plan.tokens == 0


@pytest.mark.parametrize("path", sorted(PROFILES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_profile_for_answers_fits_the_gpu_that_it_names(path: Path) -> None:
    named = re.search(r"--gpu ([\w-]+)", path.read_text())
    if named is None:
        assert path.stem in {"draft", "embedding", "reranker", "cpu", "cpu-pooling"}
        return
    options = load_profile(path)
    plan = plan_memory(load_model_checkpoint(options.model), GPUS[named[1]], options)
    assert plan.fits
    assert plan.compute_concurrency(8192) >= 8
