"""What `leadline up` says when it listens."""

import io
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from api.admission.services import DEFAULT_TENANT, Services
from api.build.embedded import open_embedded_services
from api.build.language_model import NoLanguageModel
from api.cli.console import Console
from api.cli.up import _print_greeting
from api.settings.settings import Settings
from ingest.storage.accounts.records import TENANT_SCOPES
from retrieval.encoders.port import HashingEmbedder


@contextmanager
def opened(home: Path) -> Iterator[Services]:
    """Services that have no key yet."""
    settings = Settings.model_validate({"home": home, "llm": "none", "min_free_bytes": 0, "ballast_bytes": 0})
    with open_embedded_services(settings, encoder=HashingEmbedder(), language_model=NoLanguageModel()) as services:
        yield services


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_where_nobody_reads_along_the_first_key_goes_into_a_file_of_its_user(tmp_path: Path) -> None:
    with opened(tmp_path) as services:
        said = io.StringIO()
        _print_greeting(services, "http://127.0.0.1:1", Console(file=said, width=500))
        path = tmp_path / "first-api-key"
        key_text = path.read_text().strip()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert services.identify_caller(key_text) is not None
        assert key_text not in said.getvalue()
        assert str(path) in said.getvalue()


def test_a_start_logs_nothing_among_its_greeting(tmp_path: Path) -> None:
    with capture_logs() as logged, opened(tmp_path) as services:
        _print_greeting(services, "http://127.0.0.1:1", Console(file=io.StringIO(), width=500))
        assert [each for each in logged if each["log_level"] != "debug"] == []


def test_commands_are_shown_as_the_shell_finds_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "leadline").touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(commands / "leadline"), "up"])
    with opened(tmp_path / "home") as services:
        for path, shown in (("", str(commands / "leadline")), (str(commands), "leadline")):
            monkeypatch.setenv("PATH", path)
            said = io.StringIO()
            _print_greeting(services, "http://127.0.0.1:1", Console(file=said, width=500))
            assert f"\n  {shown} ingest FOLDER\n" in said.getvalue()


def test_on_a_terminal_the_first_key_is_shown(tmp_path: Path) -> None:
    with opened(tmp_path) as services:
        said = Terminal()
        _print_greeting(services, "http://127.0.0.1:1", Console(file=said, width=500))
        assert "export LEADLINE_API_KEY=ll_" in said.getvalue()
        assert not (tmp_path / "first-api-key").exists()


def test_on_a_terminal_a_link_signs_in_to_the_portal_and_elsewhere_no_log_has_one(tmp_path: Path) -> None:
    with opened(tmp_path) as services:
        said = Terminal()
        _print_greeting(services, "http://0.0.0.0:8000", Console(file=said, width=500))
        found = re.search(r"http://127\.0\.0\.1:8000/sign-in#(\S+)", said.getvalue())
        assert found is not None
        principal = services.accounts.sessions.redeem_ticket(found[1])
        assert principal is not None
        assert principal.scopes == TENANT_SCOPES
        again = Terminal()
        _print_greeting(services, "http://127.0.0.1:1", Console(file=again, width=500))
        portals = [key for key in services.keys.list_keys(DEFAULT_TENANT) if key.name == "portal"]
        assert [key.id for key in portals] == [principal.key_id]
        logged = io.StringIO()
        _print_greeting(services, "http://127.0.0.1:1", Console(file=logged, width=500))
        assert "#" not in logged.getvalue()
        assert "leadline sign-in" in logged.getvalue()
