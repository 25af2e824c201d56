"""`leadline plan` and `leadline plan model`."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli.main import app
from ingest.storage.errors import LeadlineError

PROFILES = Path(__file__).parents[4] / "deploy" / "vllm" / "profiles"
MODEL = "Qwen/Qwen3-30B-A3B-Instruct-2507-FP8"


def planned(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["plan", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    read: dict[str, Any] = json.loads(done.output)
    return read


def refused(*arguments: str) -> LeadlineError:
    done = CliRunner().invoke(app, ["plan", *arguments])
    assert isinstance(done.exception, LeadlineError)
    return done.exception


def test_a_profile_is_all_that_the_arithmetic_of_a_model_needs() -> None:
    found = planned("model", "--profile", str(PROFILES / "one-h100.yaml"), "--gpu", "h100")
    assert found["model"] == MODEL
    assert found["cache_bytes_a_token"] == 2 * 48 * 4 * 128 * 2
    assert found["at_once"]["131072"] == found["cache_tokens"] // 131_072


def test_an_option_goes_before_the_profile() -> None:
    profile = ("--profile", str(PROFILES / "one-h100.yaml"))
    whole, half = planned("model", *profile), planned("model", *profile, "--kv-cache-dtype", "fp8")
    assert half["cache_bytes_a_token"] * 2 == whole["cache_bytes_a_token"]


def test_a_model_that_does_not_fit_is_said_with_what_to_do() -> None:
    error = refused("model", "Qwen/Qwen2.5-72B-Instruct", "--gpu", "h100")
    assert "does not fit" in error.detail
    assert "quantized" in error.hint


def test_pages_or_tokens_of_documents_make_the_same_plan() -> None:
    pages, tokens = planned("--documents", "1000", "--pages", "10"), planned("--documents", "1000", "--tokens", "5000")
    assert pages == tokens
    assert pages["processes"] == 1


def test_questions_get_gpus_a_cost_and_the_next_bottleneck() -> None:
    found = planned(
        *("--documents", "100000", "--pages", "20", "--questions", "5000", "--model", MODEL, "--gpu-price", "2.5")
    )
    assert found["gpus"] >= 1
    assert float(found["answer_seconds_p95"]) <= 30
    assert found["next_bottleneck"] in {"API", "vector engine", "model server"}
    assert float(found["cost_of_a_question"]) == pytest.approx(
        float(found["gpu_seconds_a_question"]) / 3600 * 2.5, rel=0.01
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--documents"),
        (["--documents", "1"], "--tokens or --pages"),
        (["--documents", "1", "--pages", "1", "--tokens", "1"], "--tokens or --pages"),
        (["--documents", "1", "--pages", "1", "--questions", "1"], "--model"),
        (["--documents", "1", "--pages", "1", "--questions", "1", "--model", "x/y"], "x/y"),
        (["model", MODEL, "--gpu", "abacus"], "abacus"),
        (["model"], "No model"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], said: str) -> None:
    error = refused(*arguments)
    assert said in error.detail
    assert error.hint
