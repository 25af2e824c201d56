"""Document loaders for tests, on LangChain's own base class."""

from collections.abc import Iterator
from pathlib import Path

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document


class FolderLoader(BaseLoader):
    """Loads the files of a folder, in parts of some bytes, with the metadata that many loaders have."""

    def __init__(self, folder: str, part_bytes: int = 10**9, api_key: str = "") -> None:
        self._folder = Path(folder)
        self._part_bytes = part_bytes
        self._api_key = api_key

    def lazy_load(self) -> Iterator[Document]:
        if not self._folder.exists():
            raise ConnectionError(f"no folder for the key {self._api_key}")
        for path in self._folder.iterdir():
            content = path.read_bytes()
            for at in range(0, len(content) or 1, self._part_bytes):
                part = content[at : at + self._part_bytes].decode()
                yield Document(part, metadata={"source": str(path), "author": "Ann", "date": "2026-12-01"})


class CountingLoader(BaseLoader):
    """Loads documents with neither a source nor an id."""

    def __init__(self, count: int) -> None:
        self._count = count

    def lazy_load(self) -> Iterator[Document]:
        for n in range(self._count):
            yield Document(f"document {n}")
