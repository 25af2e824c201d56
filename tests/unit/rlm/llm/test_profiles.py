from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from rlm.llm.budgets import Price
from rlm.llm.profiles import LOCAL_QWEN, ModelProfile, ProfileFileError, Profiles, load_profiles


def profile_file(folder: Path, content: str) -> Path:
    path = folder / "profiles.toml"
    path.write_text(content)
    return path


def test_a_model_is_found_by_its_name_or_by_a_pattern() -> None:
    profiles = load_profiles(None)
    assert profiles.get_profile("qwen2.5-coder-1.5b-instruct") == LOCAL_QWEN
    found = profiles.get_profile("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8")
    assert (found.name, found.context_tokens) == ("Qwen/Qwen3-30B-A3B-Instruct-2507-FP8", 262_144)


@pytest.mark.parametrize(
    "names",
    [
        ("Qwen/Qwen3-8B", "qwen3:8b", "openrouter/qwen/qwen3-8b"),
        ("openai/gpt-oss-20b", "gpt-oss:20b", "gpt-oss-20b"),
        ("meta-llama/Llama-3.1-8B-Instruct", "llama3.1:8b"),
        ("google/gemma-3-27b-it", "gemma3:27b"),
        ("openrouter/anthropic/claude-sonnet-4.5", "bedrock/us.anthropic.claude-sonnet-4-5"),
    ],
)
def test_a_family_is_known_however_its_host_spells_its_name(names: tuple[str, ...]) -> None:
    profiles = load_profiles(None)
    found = {replace(profiles.get_profile(name), name="") for name in names}
    assert len(found) == 1
    assert found != {replace(profiles.get_profile("someone/model"), name="")}


def test_a_model_that_nobody_described_is_taken_to_be_capable() -> None:
    unknown = load_profiles(None).get_profile("someone/model")
    assert unknown.writes_code
    assert unknown.routes
    assert unknown.judges
    assert unknown.structured_output == "json_schema"
    assert not unknown.small
    assert unknown.price is None
    assert Profiles().get_profile("someone/model", context_tokens=2_048).max_output_tokens == 512


def test_what_follows_from_a_size_follows_it_where_an_entry_changes_the_size(tmp_path: Path) -> None:
    path = profile_file(
        tmp_path, "[models.'gpt-oss*']\ncontext_tokens = 16384\nslice_tokens = 4000\nthinking_tokens = 0"
    )
    found = load_profiles(path).get_profile("gpt-oss-20b")
    assert found.reading_tokens == found.max_prompt_tokens // 2


def test_a_server_with_a_smaller_window_makes_everything_fit_it() -> None:
    found = load_profiles(None).get_profile("gpt-5-mini", context_tokens=16_384)
    assert found.context_tokens == 16_384
    assert max(found.slice_tokens, found.reading_tokens) <= found.max_prompt_tokens
    assert load_profiles(None).get_profile("gpt-5-mini", context_tokens=9_000_000).context_tokens == 272_000


def test_a_file_adds_models_and_changes_those_that_are_known(tmp_path: Path) -> None:
    path = profile_file(
        tmp_path,
        """
        [models."acme/large*"]
        context_tokens = 64000
        max_output_tokens = 4000
        writes_code = true
        root_advice = "Batch your sub-calls."
        price = { prompt = 0.15, completion = "0.6" }
        request_options = { extra_body = { chat_template_kwargs = { enable_thinking = false } } }

        [models."gpt-5-mini"]
        parallel_calls = 64
        """,
    )
    profiles = load_profiles(path)
    large = profiles.get_profile("acme/large-v2")
    assert large.price == Price(Decimal("0.15"), Decimal("0.6"))
    assert large.request_options["extra_body"]["chat_template_kwargs"] == {"enable_thinking": False}
    assert large.root_advice == "Batch your sub-calls."
    mini = profiles.get_profile("gpt-5-mini")
    assert (mini.parallel_calls, mini.context_tokens) == (64, 272_000)
    assert profiles.get_profile("gpt-5").parallel_calls == 16


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[models.x]\ncontext = 3", "unknown setting 'context'; the settings are context_tokens"),
        ("[models.x]\ncontext_tokens = 9000", "max_output_tokens"),
        ("[models.x]\ncontext_tokens = 'many'\nmax_output_tokens = 5", "context_tokens"),
        ("[models.x]\ncontext_tokens = 500\nmax_output_tokens = 500", "leave room"),
        ("[models.x]\ncontext_tokens = 900\nmax_output_tokens = 9\nprice = {prompt = -1, completion = 0}", "dollars"),
        ("models = 3", "does not contain any"),
        ("[[", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_the_place(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(ProfileFileError, match=r"profiles\.toml") as refused:
        load_profiles(profile_file(tmp_path, content))
    assert said in refused.value.detail
    assert "LEADLINE_MODEL_PROFILES" in refused.value.hint


def test_a_missing_file_is_said() -> None:
    with pytest.raises(ProfileFileError, match="cannot be read"):
        load_profiles(Path("/nowhere/profiles.toml"))


def test_the_local_model_is_small_and_is_given_nothing_but_questions_to_answer() -> None:
    assert LOCAL_QWEN.small
    assert (LOCAL_QWEN.writes_code, LOCAL_QWEN.routes, LOCAL_QWEN.judges) == (False, False, False)


def test_another_revision_is_another_model() -> None:
    old = ModelProfile("m", 8_000, 500)
    assert old.fingerprint != ModelProfile("m", 8_000, 500, revision="2").fingerprint
    assert old.fingerprint == ModelProfile("m", 16_000, 900, parallel_calls=9).fingerprint


@pytest.mark.parametrize(
    "change",
    [
        {"batch_items": 0},
        {"parallel_calls": 0},
        {"reading_tokens": 7_900},
        {"slice_tokens": 7_900},
    ],
)
def test_sizes_that_make_no_sense_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="m: "):
        ModelProfile("m", 8_000, 500, **change)  # type: ignore[arg-type]
