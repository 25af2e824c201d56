"""The language model behind a real server, looked at while it comes and goes."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.build.language_model import RemoteLanguageModel, open_helper_model, open_language_model
from api.settings.settings import Settings
from retrieval.models.store import ModelStore
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile, ProfileFileError
from tests.support.cluster import wait_until
from tests.support.misbehaving_openai import MisbehavingOpenAI, misbehaving_openai

PROFILE = ModelProfile("m", 8_000, 500)


@pytest.fixture
def server() -> Iterator[MisbehavingOpenAI]:
    with misbehaving_openai() as made:
        yield made


def seen(given: Settings) -> RemoteLanguageModel:
    """The model of these settings, after the first look at its server."""
    model = open_language_model(given, ModelStore(given.models))
    assert isinstance(model, RemoteLanguageModel)
    assert model.wait_for_check(20)
    return model


def settings(folder: Path, **given: object) -> Settings:
    return Settings(home=folder, models=folder / "models", **given)  # type: ignore[arg-type]


def test_the_servers_own_window_is_taken(tmp_path: Path, server: MisbehavingOpenAI) -> None:
    server.served = [{"id": "other", "max_model_len": 512}, {"id": "gpt-oss-20b", "max_model_len": 32_768}]
    for said, window in ((None, 32_768), (16_384, 16_384), (100_000, 32_768)):
        given = settings(tmp_path, llm=f"{server.url} gpt-oss-20b", llm_context_tokens=said)
        assert seen(given).acquire().profile.context_tokens == window  # type: ignore[union-attr]


def test_a_model_that_nobody_described_has_the_window_of_its_server(tmp_path: Path, server: MisbehavingOpenAI) -> None:
    server.served = [{"id": "someone/model", "max_model_len": 100_000}]
    model = seen(settings(tmp_path, llm=f"{server.url} someone/model")).acquire()
    assert model is not None
    assert model.profile.context_tokens == 100_000


def test_a_server_that_is_away_is_said_to_be_and_is_asked_all_the_same(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        model = seen(settings(tmp_path, llm=f"http://127.0.0.1:{port}/v1 m"))
    state = model.get_state()
    assert state["state"] == "away"
    assert str(port) in state["detail"]
    assert model.acquire() is not None


@pytest.mark.parametrize(
    ("served", "state"), [([], "ready"), (404, "ready"), (401, "away"), (503, "away"), ([{"id": 7}], "ready")]
)
def test_only_a_server_that_answers_is_ready(
    tmp_path: Path, server: MisbehavingOpenAI, served: list[dict[str, Any]] | int, state: str
) -> None:
    server.served = served
    assert seen(settings(tmp_path, llm=f"{server.url} m")).get_state()["state"] == state


def test_a_server_that_comes_back_is_ready_again_and_is_not_looked_at_each_time(server: MisbehavingOpenAI) -> None:
    server.served = 503
    chat = ChatModel(build_remote_chat_model(server.url, PROFILE), PROFILE)
    model = RemoteLanguageModel(server.url, chat, check_interval_seconds=0.2)
    wait_until(lambda: model.get_state()["state"] == "away", what="it is seen to be away")
    server.served = []
    wait_until(lambda: model.get_state()["state"] == "ready", what="it is seen to be back")
    patient = RemoteLanguageModel(server.url, chat, check_interval_seconds=1_000)
    assert patient.wait_for_check(120)
    looks = server.looks
    for _ in range(20):
        patient.get_state()
        patient.acquire()
    assert server.looks <= looks + 1  # the other one's


def test_a_judge_of_its_own_is_asked_by_the_name_that_was_set(tmp_path: Path, server: MisbehavingOpenAI) -> None:
    assert open_helper_model(settings(tmp_path, llm=f"{server.url} m"), "judge") is None
    judge = open_helper_model(
        settings(tmp_path, llm="http://gpu:8000/v1 m", judge=f"{server.url}   some/judge "), "judge"
    )
    assert judge is not None
    judging = judge.acquire()
    assert judging is not None
    assert judging.profile.name == "some/judge"


def test_the_file_that_the_settings_name_is_read(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text('[models."some/model"]\ncontext_tokens = 9000\nmax_output_tokens = 900\n')
    given = settings(tmp_path, llm="http://gpu:8000/v1 some/model", model_profiles=path)
    model = open_language_model(given, ModelStore(given.models)).acquire()
    assert model is not None
    assert model.profile.context_tokens == 9_000
    path.write_text("[models.x]\nwindow = 1")
    with pytest.raises(ProfileFileError, match="window"):
        open_language_model(given, ModelStore(given.models))
