"""Fixtures for the whole suite: the real model files, and the folder of public data."""

import gc
import logging
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
import structlog
from hypothesis import HealthCheck, settings

from api.cli.console_logging import LineHandler
from api.settings.settings import Settings
from ingest.storage.quotas import rows as quota_rows
from retrieval.models.manifest import LANGUAGE_GGUF, ModelFile
from retrieval.models.store import ModelStore
from rlm.llm.local.process import LocalModelProcess
from tests.support import vector_servers
from tests.support.catalogs import migrated_sqlite
from tests.support.postgres import Postgres, running_postgres
from tests.support.requirements import require_program, require_torch

_FAULTS = Path(__file__).parent / "faults"
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 3_000_000_000  # as much again is for the processes
_PREFIX = "leadline-tests-"
# Groups that take minutes each, the longest first: begun last, one of them would go on alone.
_LONGEST_GROUPS = ("language-model", "tests/faults/test_cluster.py", "tests/eval/test_retrieval_quality.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files instead of comparing with them."""
    parser.addoption("--golden", action="store_true", help="write golden files anew")


@pytest.hookimpl(tryfirst=True)  # pytest makes its folder in the same hook
def pytest_configure(config: pytest.Config) -> None:
    """Write what tests write into memory where there is room, and draw the same examples of a property in every run.

    Each service that a test starts makes an index and a catalog, which waits for the disk forty times. Other examples,
    and more, are drawn with `--hypothesis-profile search`.
    """
    if config.option.basetemp is None and _has_room_in_memory():
        _remove_what_killed_runs_left()
        config.option.basetemp = tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=_MEMORY)
        config.add_cleanup(partial(shutil.rmtree, config.option.basetemp, ignore_errors=True))
    # jsonschema takes a second to read this grammar, which is here only because another package brings it along.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    untimed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("suite", untimed, derandomize=True)
    settings.register_profile("search", untimed, max_examples=1_000)
    settings.load_profile("suite")
    _log_to_standard_error()


def _log_to_standard_error() -> None:
    """Else a service in this process prints its log lines among the results of a command that a test invokes."""
    structlog.reset_defaults()
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _has_room_in_memory() -> bool:
    try:
        about = os.statvfs(_MEMORY)
    except OSError:
        return False
    room = min(about.f_bavail * about.f_frsize, psutil.virtual_memory().available - _MEMORY_BYTES)
    return room > _MEMORY_BYTES and not about.f_flag & os.ST_NOEXEC


def _remove_what_killed_runs_left() -> None:
    for folder in _MEMORY.glob(f"{_PREFIX}*"):
        process = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path("/proc", process).exists():
            shutil.rmtree(folder, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave modules and tests, which stay to the end, out of garbage collections: each would visit all of them."""
    gc.collect()
    gc.freeze()


def pytest_make_parametrize_id(val: object) -> str | None:
    """A long text does not stand whole in its test's name."""
    return ascii(val[:40]) if isinstance(val, str | bytes) and len(val) > 200 else None


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark faults as slow. Over several processes, keep together a module's tests, and those of the language model.

    The longest of these groups are run first.
    """
    for item in items:
        if item.path.is_relative_to(_FAULTS):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("xdist_group"):
            continue
        needs_model = "local_model" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("language-model" if needs_model else item.nodeid.partition("::")[0]))
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_rank_of_group)


def _rank_of_group(item: pytest.Item) -> int:
    group = next(mark.args[0] for mark in item.iter_markers("xdist_group"))
    return _LONGEST_GROUPS.index(group) if group in _LONGEST_GROUPS else len(_LONGEST_GROUPS)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: what a mark says that the test needs is there, or the test is skipped."""
    for mark in item.iter_markers("needs_program"):
        require_program(*mark.args)
    if item.get_closest_marker("torch"):
        require_torch()
    if item.get_closest_marker("double_only") and vector_servers.named():
        pytest.skip(f"asks the double what a real vector server does not do: unset {vector_servers.VARIABLE}")


def _require(files: list[ModelFile], store: ModelStore) -> Path:
    missing = [file.name for file in store.list_missing_files() if file in files]
    if missing:
        pytest.fail(f"{', '.join(missing)} not in {store.directory}: run `leadline models fetch`, or `make test`.")
    return store.directory


@pytest.fixture(autouse=True)
def no_reranker_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a service with the built-in encoder reranks, which would load a model and take time in every test."""
    monkeypatch.setenv("LEADLINE_RERANKER", "none")


@pytest.fixture(autouse=True)
def no_ballast_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default a service takes 310 MB of the disk in advance, and folders of tests are often in memory."""
    monkeypatch.setenv("LEADLINE_BALLAST_BYTES", "0")


@pytest.fixture(autouse=True)
def logging_of_the_suite() -> Iterator[None]:
    """A command that runs inside a test configures logging to the standard error it has, which is closed afterwards."""
    yield
    _log_to_standard_error()
    root = logging.getLogger()
    root.handlers = [each for each in root.handlers if not isinstance(each, LineHandler)]


@pytest.fixture
def no_drafts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log no text of an answer before it is whole, which else depends on how busy the machine is."""
    monkeypatch.setattr("rlm.runs.durable._PIECE_SECONDS", math.inf)


@pytest.fixture
def one_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is spent on one day of UTC, also where midnight comes in the middle of the test."""
    today = quota_rows.format_day(time.time())
    for module in (
        "ingest.storage.quotas.rows",
        "ingest.storage.quotas.store",
        "ingest.storage.answers.run_log",
        "ingest.storage.slack.usage",
    ):
        monkeypatch.setattr(f"{module}.format_day", lambda _: today)


@pytest.fixture(scope="session")
def model_store() -> ModelStore:
    return ModelStore(Settings().models)


@pytest.fixture(scope="session")
def encoder_files(model_store: ModelStore) -> Path:
    """The models folder, with the encoder in it."""
    return _require([file for file in model_store.files if not file.name.endswith(".gguf")], model_store)


@pytest.fixture(scope="session")
def local_model(model_store: ModelStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalModelProcess]:
    """The real small language model, loaded once for the whole run."""
    folder = _require(list(model_store.files), model_store)
    log = tmp_path_factory.mktemp("llm") / "log"
    process = LocalModelProcess(folder / LANGUAGE_GGUF, log)
    state = process.wait_until_ready(500)
    assert state.state == "ready", f"{state} {log.read_text()[-2000:]}"
    yield process
    process.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A real PostgreSQL, started once for the whole run."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh catalog's URL, on each database in turn; with PostgreSQL the contract takes minutes."""
    if request.param == "sqlite":
        yield migrated_sqlite(tmp_path / "catalog.sqlite")
        return
    server: Postgres = request.getfixturevalue("postgres")
    url = server.catalog_database()
    yield url
    server.drop(url)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Public test collections: a folder that holds `scifact` and others in BEIR format, named by LEADLINE_DATA."""
    folder = os.environ.get("LEADLINE_DATA")
    if not folder:
        pytest.skip("LEADLINE_DATA names no folder of public test collections (scifact, xquad, …)")
    return Path(folder)
