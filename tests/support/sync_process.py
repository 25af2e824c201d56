"""An embedded service in a process of its own, to be killed, with sources that are folders and note what they read."""

import hashlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel

from api.build.embedded import open_embedded_services
from api.build.language_model import NoLanguageModel
from api.settings.settings import Settings
from ingest.sources import registry
from ingest.sources.errors import ItemGoneError
from ingest.sources.port import OpenedItem, SourceContext, SourceItem, SourceKind
from retrieval.encoders.port import HashingEmbedder
from tests.support.fault_folder import arm_from_environment

NOTED = "noted-folder"


class NotedOptions(BaseModel):
    folder: Path
    notes: Path


class NotedFolder:
    """A folder without subfolders. Each item that is opened is a line of the notes."""

    def __init__(self, options: NotedOptions) -> None:
        self._options = options

    def list_items(self) -> Iterator[SourceItem]:
        for path in sorted(self._options.folder.iterdir()):
            yield SourceItem(path.name, path.name, hashlib.sha256(path.read_bytes()).hexdigest(), path=str(path))

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        path = self._options.folder / item.name
        if not path.exists():
            raise ItemGoneError
        with self._options.notes.open("a") as notes:
            notes.write(f"{item.id}\n")
        yield OpenedItem(item, iter([path.read_bytes()]))

    def list_changes(self, cursor: str) -> None:
        return None

    def close(self) -> None:
        pass


def add_noted_folders() -> None:
    """Let this process have sources of this kind."""

    def build(options: NotedOptions, context: SourceContext) -> NotedFolder:
        return NotedFolder(options)

    registry.SOURCE_KINDS[NOTED] = SourceKind(NOTED, NotedOptions, build)  # type: ignore[index]


def main(home: str) -> None:
    arm_from_environment()
    add_noted_folders()
    settings = Settings.model_validate({"home": Path(home), "llm": "none", "min_free_bytes": 0, "ballast_bytes": 0})
    with open_embedded_services(settings, encoder=HashingEmbedder(), language_model=NoLanguageModel()):
        threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
