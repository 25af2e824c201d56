"""`leadline models` on the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli.models import models
from retrieval.errors import ModelFileError
from retrieval.models.manifest import EMBEDDING_TOKENIZER, load_model_files


def test_list_shows_each_file_with_size_licence_and_state(tmp_path: Path) -> None:
    result = CliRunner().invoke(models, ["list", "--directory", str(tmp_path)])

    assert result.exit_code == 0
    lines = result.output.splitlines()
    for file in load_model_files():
        [line] = [line for line in lines if line.startswith(file.name)]
        assert line.split()[-2:] == ["Apache-2.0", "missing"]


def test_the_folder_comes_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / EMBEDDING_TOKENIZER).write_bytes(b"{}")

    result = CliRunner().invoke(models, ["list"], env={"LEADLINE_MODELS": str(tmp_path)})

    assert "wrong size" in result.output


def test_without_a_setting_the_folder_is_the_users_cache(tmp_path: Path) -> None:
    result = CliRunner().invoke(models, ["list"], env={"LEADLINE_MODELS": "", "XDG_CACHE_HOME": str(tmp_path)})

    assert str(tmp_path / "leadline" / "models") in result.output.replace("\n", "")


@pytest.mark.parametrize("arguments", [["verify"], ["verify", "--full"]])
def test_verify_ends_with_status_1_and_the_next_step_when_a_file_is_not_right(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / EMBEDDING_TOKENIZER).write_bytes(bytes(466_247))

    result = CliRunner().invoke(models, arguments, env={"LEADLINE_MODELS": str(tmp_path)})

    assert result.exit_code == 1
    assert "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037" in result.output
    assert "leadline models fetch" in result.output


def test_fetch_raises_what_went_wrong_for_the_command_line_to_show(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    result = CliRunner().invoke(models, ["fetch"], env={"LEADLINE_MODELS": str(tmp_path / "file" / "models")})

    assert isinstance(result.exception, ModelFileError)
