"""txtai: `Embeddings` with `hybrid=True` and nothing else set."""

from importlib import import_module


class Peer:
    def __init__(self, model: str) -> None:
        self._embeddings = import_module("txtai").Embeddings(path=model, hybrid=True)

    def index(self, texts: list[tuple[str, str]]) -> None:
        self._embeddings.index((identifier, text, None) for identifier, text in texts)

    def search(self, query: str, top_k: int) -> list[str]:
        return [identifier for identifier, _ in self._embeddings.search(query, top_k)]
