"""A command says which installation it works on."""

from pathlib import Path

import pytest

from api.cli import installation_notice
from api.cli.client import open_client
from api.client import ServiceError
from api.settings.settings import Settings


@pytest.fixture(autouse=True)
def nothing_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation_notice, "_current", [])
    monkeypatch.delenv("LEADLINE_URL", raising=False)


def test_a_question_without_a_service_and_without_documents_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    home = tmp_path / "none"
    with pytest.raises(ServiceError, match="no documents in") as error, open_client(Settings(home=home)):
        pass
    assert "LEADLINE_URL" in error.value.hint
    assert "leadline up" in error.value.hint
    assert not home.exists()


def test_a_local_command_says_that_it_does_not_work_on_the_service_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("LEADLINE_URL", "http://elsewhere:8000")
    installation_notice.show_data_folder(tmp_path)
    said = " ".join(capsys.readouterr().err.split())
    assert str(tmp_path) in said
    assert "not on the service at http://elsewhere:8000" in said


def test_an_error_names_the_installation_and_scripts_get_no_other_notice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert installation_notice.describe_installation() == ""
    monkeypatch.setenv("LEADLINE_URL", "http://here:8000")
    installation_notice.show_service("http://here:8000")
    assert capsys.readouterr().err == ""
    assert "http://here:8000 (LEADLINE_URL)" in installation_notice.describe_installation()
