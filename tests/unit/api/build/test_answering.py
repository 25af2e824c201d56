from pathlib import Path

import pytest

from api.build.language_model import select_reranker
from api.settings.settings import Settings
from retrieval.models.manifest import ModelFile
from retrieval.models.store import ModelStore
from retrieval.rerank.port import RerankerKind


class Present(ModelStore):
    """A store that has every file but those named."""

    lacking: tuple[str, ...] = ()

    def list_missing_files(self) -> list[ModelFile]:
        return [file for file in self.files if file.name in self.lacking]


def chosen(folder: Path, *, lacking: tuple[str, ...] = (), **settings: object) -> RerankerKind | None:
    store = Present(folder)
    store.lacking = lacking
    choice = select_reranker(Settings(home=folder, **{"reranker": "auto", **settings}), store)  # type: ignore[arg-type]
    return choice.kind if choice else None


def test_the_built_in_encoder_brings_its_reranker_along(tmp_path: Path) -> None:
    assert chosen(tmp_path) is RerankerKind.LATE_INTERACTION
    assert chosen(tmp_path, encoder="minilm-128") is RerankerKind.LATE_INTERACTION


def test_another_encoder_and_absent_files_bring_none(tmp_path: Path) -> None:
    assert chosen(tmp_path, encoder="sentence-transformers a/b") is None
    assert chosen(tmp_path, lacking=("all-MiniLM-L6-v2-int8.onnx",)) is None


@pytest.mark.parametrize(("setting", "kind"), [("none", None), ("http://gpu:1/v1 model", RerankerKind.HTTP)])
def test_what_is_asked_for_is_chosen(tmp_path: Path, setting: str, kind: RerankerKind | None) -> None:
    assert chosen(tmp_path, reranker=setting) is kind
