"""What is known of a model before it is loaded, from folders that hold only small files."""

import json
import shutil
from pathlib import Path

import pytest

from retrieval.build import build_encoders
from retrieval.encoders.sentence_transformers_model import LocatedModel, locate_model
from retrieval.encoders.specs import EncoderSettings, parse_spec
from retrieval.errors import EncoderError
from retrieval.models.store import ModelStore


def folder_of(parent: Path, *, weights: bytes = b"w" * 10_000_000, prompts: dict[str, str] | None = None) -> Path:
    folder = parent / "tiny-model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "2_Dense").mkdir()
    modules = [{"path": "", "type": "T"}, {"path": "1_Pooling", "type": "P"}, {"path": "3_Normalize", "type": "N"}]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "config.json").write_text(json.dumps({"hidden_size": 32}))
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": prompts or {}}))
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def located(folder: Path, options: str = "") -> LocatedModel:
    return locate_model(parse_spec(f"sentence-transformers {folder} {options}"))


def test_the_last_module_that_changes_it_says_how_long_vectors_are(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    modules = json.loads((folder / "modules.json").read_text())
    (folder / "modules.json").write_text(json.dumps([*modules[:2], {"path": "2_Dense", "type": "D"}, modules[2]]))
    (folder / "2_Dense" / "config.json").write_text(json.dumps({"in_features": 64, "out_features": 16}))
    assert located(folder).dimension == 16


def test_two_ways_of_pooling_make_vectors_twice_as_long(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    assert located(folder).dimension == 64


def test_the_same_files_have_the_same_fingerprint_wherever_they_lie(tmp_path: Path) -> None:
    here = folder_of(tmp_path / "here")
    there = tmp_path / "there" / "tiny-model"
    shutil.copytree(here, there)
    assert located(here).fingerprint == located(there).fingerprint


def test_whatever_changes_the_vectors_changes_the_fingerprint(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "a")
    trained = folder_of(tmp_path / "b", weights=b"w" * 9_000_000 + b"v" * 1_000_000)
    options = ("", "dimension=16", "query='query: '", "document='query: '", "backend=onnx", "dtype=bfloat16")
    found = {located(folder, option).fingerprint for option in options} | {located(trained).fingerprint}
    assert len(found) == len(options) + 1
    assert located(folder, "device=cuda").fingerprint == located(folder).fingerprint


def test_more_dimensions_than_the_model_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match="32 dimensions, fewer than the requested 64"):
        located(folder_of(tmp_path), "dimension=64")


@pytest.mark.parametrize("model", ["/nowhere/at/all", "./nowhere"])
def test_a_folder_that_is_not_there_is_said_to_be_missing(model: str) -> None:
    with pytest.raises(EncoderError, match=r"Folder .* not found"):
        locate_model(parse_spec(f"sentence-transformers {model}"))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(EncoderError, match="not a sentence-transformers model"):
        locate_model(parse_spec(f"sentence-transformers {tmp_path}"))


def test_offline_a_hubs_model_that_is_not_here_says_how_to_bring_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EncoderError) as raised:
        locate_model(parse_spec("sentence-transformers intfloat/e5-small-v2"))
    assert "name that folder" in raised.value.hint


def test_settings_add_what_they_describe_to_leadlines_own(tmp_path: Path) -> None:
    described, beside = f"sentence-transformers {folder_of(tmp_path)}", "http://h/v1 m dimension=8"
    known = build_encoders(ModelStore(tmp_path), EncoderSettings(encoder=described, encoder_beside=beside))
    assert [choice.name for choice in known.choices] == ["minilm", "minilm-128", described, beside]
    assert known.get_by_name(described).dimension == 32
    assert known.get_by_fingerprint(known.get_by_name(described).fingerprint).name == described
