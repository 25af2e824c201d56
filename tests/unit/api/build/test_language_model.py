from pathlib import Path

from api.build.language_model import load_model_profile
from api.settings.settings import Settings
from rlm.llm.profiles import LOCAL_QWEN


def settings(folder: Path, **given: object) -> Settings:
    return Settings(home=folder, models=folder / "models", **given)  # type: ignore[arg-type]


def test_the_local_model_has_its_own_profile(tmp_path: Path) -> None:
    assert load_model_profile(settings(tmp_path)) == LOCAL_QWEN


def test_a_remote_model_has_the_profile_of_its_name_and_the_window_of_its_server(tmp_path: Path) -> None:
    given = settings(tmp_path, llm="http://gpu:8000/v1 gpt-5-mini", llm_context_tokens=50_000)
    profile = load_model_profile(given)
    assert (profile.name, profile.context_tokens, profile.writes_code) == ("gpt-5-mini", 50_000, True)


def test_the_example_in_the_description_of_deployments_can_be_used(tmp_path: Path) -> None:
    described = (Path(__file__).parents[4] / "deploy" / "README.md").read_text()
    path = tmp_path / "profiles.toml"
    path.write_text(described.split("```toml\n")[1].split("```")[0])
    profile = load_model_profile(settings(tmp_path, llm="http://gpu:8000/v1 acme/large-3", model_profiles=path))
    assert (profile.parallel_calls, profile.slice_tokens, profile.cache_salt) == (32, 12_000, True)
    assert profile.price is not None
