"""README.md, CONTRIBUTING.md and docs/ say what the code does, and no document outgrows its reader."""

import json
import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

import api.main  # noqa: F401 - every error of the API
from api.http.problems import get_status
from api.settings.settings import Settings
from ingest.storage.errors import LeadlineError
from retrieval.models.manifest import load_model_files
from rlm.answers import AnswerStatus, Check
from rlm.events import Drafted, Event
from rlm.llm.profiles import ProfileFileError
from rlm.requests import StrategyName
from workers.settings import ClusterSettings

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs").glob("*.md"))
# What somebody reads who is new here.
ENTRANCES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md")]
API, ANSWERS, ERRORS, SETTINGS = (
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("api", "answers", "errors", "settings")
)
_ERROR = re.compile(r"^\| (`[a-z_`, ]+`) \| (\d{3}|–) \|", re.MULTILINE)
_SETTING = re.compile(r"^\| `(LEADLINE_[A-Z0-9_]+)` \| ([^|]+) \|", re.MULTILINE)
_EVENT = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
_PATH = re.compile(r"`((?:\.ci|api|deploy|docs|examples|ingest|retrieval|rlm|tests|workers)/[\w./-]*)`")
_TARGET = re.compile(r"(?:^|`)make (?:[A-Z]+=\S+ )*([a-z-]+)(?=`| {2,}|$)", re.MULTILINE)


def errors(kind: type[LeadlineError] = LeadlineError) -> list[type[LeadlineError]]:
    return [kind, *(found for each in kind.__subclasses__() for found in errors(each))]


def test_each_code_has_the_status_that_is_described() -> None:
    known = {kind.code: kind for kind in errors()}
    described = {code: status for codes, status in _ERROR.findall(ERRORS) for code in re.findall(r"\w+", codes)}
    assert len(described) >= 30
    assert described.pop(ProfileFileError.code) == "–"  # it keeps the service from starting
    # By class alone: some are made with more than a sentence.
    assert {code: str(get_status(known[code].__new__(known[code]))) for code in described} == described


@pytest.mark.parametrize("kind", [Settings, ClusterSettings])
def test_each_setting_is_described_with_its_default(kind: type[BaseSettings], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    described = {(name, default.strip()) for name, default in _SETTING.findall(SETTINGS)}
    assert {(f"LEADLINE_{name.upper()}", _default(kind, name)) for name in kind.model_fields} <= described


def test_each_event_of_a_streamed_answer_is_described() -> None:
    table = API.split("## Events")[1].split("\n\n`GET")[0]
    sent = {kind.__name__.lower() for kind in Event.__args__ if kind is not Drafted}
    assert set(_EVENT.findall(table)) == sent | {"error", "restarted"}  # Events of the service, not of the answer.


def test_strategies_marks_and_states_are_described() -> None:
    assert all(f"`{each}`" in API for each in (*AnswerStatus, *StrategyName, *Check))
    assert set(_EVENT.findall(ANSWERS.split("## Marks")[1].split("## ")[0])) == set(Check)


@pytest.mark.parametrize("path", [*ENTRANCES, ROOT / "deploy" / "README.md", *DOCS], ids=lambda path: path.stem)
def test_what_a_document_names_is_there(path: Path) -> None:
    named = [name for name in _PATH.findall(path.read_text()) if "NAME" not in name]  # of a file to be made
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", [*ENTRANCES, ROOT / "deploy" / "README.md", *DOCS], ids=lambda path: path.stem)
def test_a_target_of_make_that_a_document_names_is_there(path: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(_TARGET.findall(path.read_text())) <= targets


def test_the_guard_that_contributing_shows_is_as_in_the_code() -> None:
    (shown,) = re.findall(r"```toml\n\[([a-z-]+)\][^\n]*\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
    slug, row = shown
    assert f"[{slug}]\n{row}" in (ROOT / "tests" / "faults" / "guards.toml").read_text()
    (code,) = re.findall(rf"```python\n(# guard: {slug}\n[^`]*)```", (ROOT / "CONTRIBUTING.md").read_text())
    source = (ROOT / "ingest" / "storage" / "accounts" / "keys.py").read_text()
    assert code in re.sub(r"^ +", "", source, flags=re.MULTILINE)


def test_documents_are_short_enough_to_be_read() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 1000
    assert len((ROOT / "CONTRIBUTING.md").read_text().split()) <= 1700
    assert len((ROOT / "SECURITY.md").read_text().split()) <= 1000
    assert len((ROOT / "CHANGELOG.md").read_text().splitlines()) <= 60
    assert {path.name: len(path.read_text().splitlines()) for path in DOCS if path.read_text().count("\n") > 250} == {}


def test_readme_begins_with_commands_and_tells_how_much_is_downloaded() -> None:
    readme, makefile = ((ROOT / name).read_text() for name in ("README.md", "Makefile"))
    assert readme.index("leadline ask") < readme.index("─►")
    gigabytes = f"{sum(file.size_bytes for file in load_model_files()) / 1e9:.1f} GB"
    assert f"downloads and verifies the models once ({gigabytes})" in " ".join(readme.split())
    assert re.search(rf"^models:.*about {gigabytes}\)", makefile, re.MULTILINE)


def test_decisions_are_few_short_and_dated() -> None:
    _, *entries = re.split(r"^## ", (ROOT / "DECISIONS.md").read_text(), flags=re.MULTILINE)
    assert len(entries) <= 60
    for entry in entries:
        heading, *lines = entry.strip().splitlines()
        assert re.match(r"\d{4}-\d\d-\d\d · \S", heading), heading
        assert 1 <= len(lines) <= 5, heading
        assert max(map(len, lines)) <= 120, heading


def _default(kind: type[BaseSettings], name: str) -> str:
    """A default as the tables have it."""
    field = kind.model_fields[name]
    if field.is_required():
        return "–"
    match field.get_default(call_default_factory=True):
        case None | "":
            return "none"
        case dict(mapping):
            return f"`{json.dumps(mapping)}`"
        case int(size) if name.endswith("_bytes"):
            return f"{size // 1024**2} MiB"
        case float(number):
            return f"`{number:g}`"
        case other:
            return f"`{other}`".replace("/home/somebody", "~")
