"""Opening the adapter of a source."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from ingest.sources.errors import SourceError, SourceOptionsError
from ingest.sources.opening import SourceOpener
from ingest.sources.port import Source, SourceContext, SourceKind
from ingest.storage.sources.rounds import Round
from ingest.storage.webhooks.destinations import Destinations


class Options(BaseModel):
    limit: int


def import_missing_package(options: Options, context: SourceContext) -> Source:
    raise ModuleNotFoundError("No module named 'surveyor'", name="surveyor")


def opener(scratch: Path) -> SourceOpener:
    kind = SourceKind("surveys", Options, import_missing_package)
    return SourceOpener({"surveys": kind}, SourceContext(Destinations.parse(""), scratch))


def sync(kind: str = "surveys", limit: object = 1) -> Round:
    return Round("s", "ann", "default", kind, {"limit": limit}, "", 1)


def test_a_package_that_a_worker_lacks_is_named_with_the_command_that_installs_it(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="package surveyor is not installed") as raised:
        opener(tmp_path).open_source(sync()).__enter__()
    assert "leadline[sources]" in raised.value.public_message[1]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("wrong", "said"), [(sync("unknown"), "'unknown'"), (sync(limit="many"), "limit")])
def test_options_that_are_not_valid_here_are_named(tmp_path: Path, wrong: Round, said: str) -> None:
    with pytest.raises(SourceOptionsError, match=said):
        opener(tmp_path).open_source(wrong).__enter__()


def test_a_folder_with_a_placeholder_is_that_of_one_tenant(tmp_path: Path) -> None:
    folders = (Path("/srv/all"), Path("/srv/{tenant}/documents"))
    context = SourceContext(Destinations.parse(""), tmp_path, folders=folders)
    assert context.for_tenant("ann").folders == (Path("/srv/all"), Path("/srv/ann/documents"))
    for name in ("..", ".", "", "a/../b"):
        assert context.for_tenant(name).folders == (Path("/srv/all"),)


def test_a_job_sees_the_folders_of_its_tenant_alone(tmp_path: Path) -> None:
    seen = []

    def note(options: Options, context: SourceContext) -> Source:
        seen.append(context.folders)
        raise SourceOptionsError("Noted.")

    context = SourceContext(Destinations.parse(""), tmp_path, folders=(Path("/srv/{tenant}"),))
    with pytest.raises(SourceOptionsError):
        SourceOpener({"surveys": SourceKind("surveys", Options, note)}, context).open_source(sync()).__enter__()
    assert seen == [(Path("/srv/ann"),)]
