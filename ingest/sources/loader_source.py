"""The adapter of LangChain document loaders.

A loader cannot list without loading. So everything is loaded once, and kept in files until the sync ends. The parts of
a document, such as the pages of a file, have the same `source` in their metadata.
"""

import hashlib
import importlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    ItemUnchangedError,
    SourceError,
    SourceOptionsError,
    SourceUnavailableError,
)
from ingest.sources.loader import LoaderOptions
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem

_BLOCK_BYTES = 65_536
_MAX_KEY_CHARS = 1_000
_MAX_NAME_CHARS = 200
_MIN_SECRET_CHARS = 4
# The names that loaders of LangChain use for the date of a document, the most exact first.
_DATES = ("last_modified", "modified_at", "updated_at", "moddate", "date", "published", "created_at")


class LoadedDocument(Protocol):
    """LangChain's `Document`."""

    page_content: str
    metadata: dict[Any, Any]
    id: str | None


class LoaderSource:
    """The documents that a loader returns."""

    def __init__(self, options: LoaderOptions, secrets: Mapping[str, Any], context: SourceContext) -> None:
        self._options = options
        self._secrets = secrets
        self._context = context
        self._folder = context.scratch / "documents"
        self._is_loaded = False

    def list_items(self) -> Iterator[SourceItem]:
        self._load_all()
        for path in self._folder.glob("*.text"):
            yield self._describe(path)

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        self._load_all()
        path = self._get_path(item.id)
        if not path.exists():
            raise ItemGoneError
        found = self._describe(path)
        if found.version == known_version:
            raise ItemUnchangedError
        if (found.size_bytes or 0) > self._context.max_item_bytes:
            raise ItemRefusedError(f"The document has more than {self._context.max_item_bytes:,} bytes.")
        with path.open("rb") as file:
            yield OpenedItem(found, iter(lambda: file.read(_BLOCK_BYTES), b""))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return None

    def close(self) -> None:
        """The loader has no connection of its own that could be closed."""

    def _load_all(self) -> None:
        if self._is_loaded:
            return
        shutil.rmtree(self._folder, ignore_errors=True)  # An earlier attempt may have failed halfway.
        self._folder.mkdir()
        try:
            count = 0
            for document in self._create_loader().lazy_load():
                count += self._keep(document)
                # guard: source-loader-limit
                if count > self._options.max_documents:
                    raise SourceOptionsError(
                        f"The loader returned more than {self._options.max_documents:,} documents, the limit of this "
                        "source.",
                        hint="Increase the limit, or let the loader return less. Nothing was removed.",
                    )
        except SourceError:
            raise
        except Exception as error:  # noqa: BLE001 - the code of a loader raises anything
            raise SourceUnavailableError(f"The loader failed: {self._describe_error(error)}") from None
        self._is_loaded = True

    def _create_loader(self) -> Any:  # noqa: ANN401 - LangChain's BaseLoader, or a class like it
        module, _, name = self._options.loader.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
            return kind(**{**self._options.arguments, **self._secrets})
        except (ImportError, AttributeError) as error:
            raise SourceOptionsError(
                f"The loader {self._options.loader!r} is not installed: {self._describe_error(error)}",
                hint="Ask the operator of the service to install its packages in the workers.",
            ) from None
        except (TypeError, ValueError) as error:
            raise SourceOptionsError(
                f"The loader rejected its arguments: {self._describe_error(error)}", hint="Correct the arguments."
            ) from None

    def _keep(self, document: LoadedDocument) -> bool:
        """Append a part to the file of its document. Return whether the document is new."""
        content = document.page_content.encode("utf-8", "replace")
        source = document.metadata.get("source") or document.id
        key = str(source) if source else f"sha256:{hashlib.sha256(content).hexdigest()}"
        if len(key) > _MAX_KEY_CHARS:
            key = f"sha256:{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}"
        path = self._get_path(key)
        is_new = not path.exists()
        if is_new:
            path.with_suffix(".json").write_text(json.dumps(_describe_metadata(key, document.metadata)), "utf-8")
        with path.open("ab") as file:
            file.write(content if is_new else b"\n\n" + content)
        return is_new

    def _get_path(self, key: str) -> Path:
        return self._folder / f"{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}.text"

    def _describe(self, path: Path) -> SourceItem:
        known = json.loads(path.with_suffix(".json").read_text("utf-8"))
        with path.open("rb") as file:
            version = hashlib.file_digest(file, "sha256").hexdigest()
        return SourceItem(version=version, size_bytes=path.stat().st_size, media_type="text/plain", **known)

    def _describe_error(self, error: Exception) -> str:
        """Describe an error of a loader, which may contain its arguments, without the credentials."""
        text = f"{type(error).__name__}: {error}"
        for secret in _iter_texts(self._secrets):
            # guard: source-loader-secrets
            text = text.replace(secret, "***")
        return text


def _describe_metadata(key: str, metadata: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the fields of an item that a document's metadata have."""
    is_url = key.startswith(("http://", "https://"))
    place = urlsplit(key).path if is_url else key
    name = str(metadata.get("title") or place.rstrip("/").rpartition("/")[2] or key)
    return {
        "id": key,
        "name": " ".join(name.replace("/", "_").split())[:_MAX_NAME_CHARS],
        "path": key,
        "url": key if is_url else "",
        "author": str(metadata.get("author") or "")[:_MAX_NAME_CHARS],
        "modified_at": next((found for name in _DATES if (found := _parse_date(metadata.get(name))) is not None), None),
    }


def _parse_date(value: object) -> float | None:
    """Parse a date, a text in ISO 8601, or seconds since 1970."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        return None
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


def _iter_texts(value: object) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= _MIN_SECRET_CHARS:
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _iter_texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _iter_texts(each)
