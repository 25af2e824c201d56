"""Read the revision, dimension and prompts of a sentence-transformers model from its small files, without loading it.

A command that only inspects an index needs the fingerprint of the index's encoder, and loading torch takes seconds.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from retrieval.encoders.specs import EncoderSpec, compute_prompts_digest
from retrieval.errors import EncoderError

INSTALL_HINT = "Install it with `pip install './leadline[sentence-transformers]'`."
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".onnx", ".xml", ".gguf")
_SMALL_FILES = ("*.json", "*.txt", "*.model")
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True)
class LocatedModel:
    """A model to load from `source`, which is a hub model or a folder.

    A folder's `revision` is a digest of its files.
    """

    spec: EncoderSpec
    source: str
    revision: str
    full_dimension: int
    query_prompt: str
    document_prompt: str

    @property
    def is_folder(self) -> bool:
        return self.revision.startswith("files-")

    @property
    def dimension(self) -> int:
        return self.spec.dimension or self.full_dimension

    @property
    def fingerprint(self) -> str:
        """The fingerprint. It depends on the files' content, not on their location."""
        spec = self.spec
        model = Path(spec.model).name if self.is_folder else spec.model
        precision = f"{spec.backend}-{spec.file or spec.dtype}"
        prompts = compute_prompts_digest(self.query_prompt, self.document_prompt)
        return f"sentence-transformers/{model}@{self.revision}/{precision}/{prompts}/{self.dimension}"


def locate_model(spec: EncoderSpec) -> LocatedModel:
    """Locate a model without loading it.

    Raises `EncoderError` if the model is not found, with a hint to install the library, to connect to the network once,
    or to choose another model.
    """
    folder, revision = _locate_folder(spec)
    full = _load_full_dimension(folder)
    if spec.dimension and spec.dimension > full:
        raise EncoderError(
            f"{spec.model} has vectors of {full} dimensions, fewer than the requested {spec.dimension}.",
            hint=f"Remove dimension=, or set it to {full} or less.",
        )
    prompts = _load_json(folder / "config_sentence_transformers.json").get("prompts") or {}
    own_document = next((prompts[name] for name in _DOCUMENT_PROMPTS if prompts.get(name)), "")
    return LocatedModel(
        spec=spec,
        source=str(folder) if revision.startswith("files-") else spec.model,
        revision=revision,
        full_dimension=full,
        query_prompt=prompts.get("query", "") if spec.query is None else spec.query,
        document_prompt=own_document if spec.document is None else spec.document,
    )


def _locate_folder(spec: EncoderSpec) -> tuple[Path, str]:
    """Return the folder with the model's small files, and the model's revision."""
    folder = Path(spec.model).expanduser()
    if folder.is_dir():
        return folder, f"files-{_compute_digest(folder)}"
    if spec.model.startswith(("/", ".", "~")) or spec.model.count("/") > 1:
        raise EncoderError(f"Folder {spec.model} not found.", hint="Check the path, or name a model on the hub.")
    return _fetch_small_files(spec)


def _fetch_small_files(spec: EncoderSpec) -> tuple[Path, str]:
    """Return the model's folder in the local hub cache, and its revision. Contacts the hub only for missing files."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise EncoderError("The package sentence-transformers is not installed.", hint=INSTALL_HINT) from error
    wanted: dict[str, Any] = {"revision": spec.revision, "allow_patterns": list(_SMALL_FILES)}
    try:
        path = snapshot_download(spec.model, local_files_only=True, **wanted)
    except LocalEntryNotFoundError:
        try:
            path = snapshot_download(spec.model, **wanted)
        except (HfHubHTTPError, LocalEntryNotFoundError, httpx.HTTPError, OSError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise EncoderError(
                f"The model {spec.model} is not on this machine and could not be downloaded: {reason}",
                hint="Connect this machine to the hub once, set HF_ENDPOINT to a mirror, or copy the model's folder "
                "to this machine and name that folder.",
            ) from error
    return Path(path), Path(path).name


def _compute_digest(folder: Path) -> str:
    """Return a hash of the model's small files and of samples of its weights.

    Samples are enough, because the weights of two models differ almost everywhere.
    """
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(".")):
        if path.suffix not in (*_WEIGHT_SUFFIXES, *(pattern[1:] for pattern in _SMALL_FILES)):
            continue
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        for block in _iter_samples(path):
            digest.update(block)
    return digest.hexdigest()[:16]


def _iter_samples(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            yield file.read()
            return
        for number in range(_SAMPLES):
            file.seek((size - _SAMPLE_BYTES) * number // (_SAMPLES - 1))
            yield file.read(_SAMPLE_BYTES)


def _load_full_dimension(folder: Path) -> int:
    """Return the dimension from the last module that specifies one, or from the model's own config.

    For a model without modules, the library uses mean pooling, which does not change the dimension.
    """
    modules = _load_json(folder / "modules.json")
    for module in reversed(modules if isinstance(modules, list) else []):
        config = _load_json(folder / module.get("path", "") / "config.json")
        found = _find_dimension(config)
        if found:
            return found
    found = _find_dimension(_load_json(folder / "config.json"))
    if not found:
        raise EncoderError(
            f"{folder} is not a sentence-transformers model: it does not specify the dimension of its vectors.",
            hint="Name a folder or a model that `SentenceTransformer(…)` loads.",
        )
    return found


def _find_dimension(config: Mapping[str, Any]) -> int | None:
    for name in ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size", "dim"):
        value = config.get(name)
        if isinstance(value, int) and value > 0:
            return value * _count_pooling_modes(config)
    return None


def _count_pooling_modes(config: Mapping[str, Any]) -> int:
    """Return the number of pooling modes, whose results the library concatenates."""
    mode = config.get("pooling_mode")
    if isinstance(mode, list):
        return len(mode)
    return max(1, sum(value is True for name, value in config.items() if name.startswith("pooling_mode_")))


def _load_json(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path} cannot be read: {error}", hint="Download or copy the model again.") from error
