"""The real local model and encoder, for evaluations."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from api.settings import Settings
from retrieval import build
from retrieval.embedding import Embedder
from retrieval.models.manifest import LANGUAGE_GGUF
from retrieval.models.store import ModelStore
from rlm.llm.budgets import Budget, Limits
from rlm.llm.chat_models import local_chat_model
from rlm.llm.local.process import LocalModelProcess
from rlm.llm.port import SubCalls
from rlm.llm.profiles import LOCAL_QWEN
from rlm.llm.scheduler import SubCallScheduler


@contextmanager
def local_calls() -> Iterator[SubCalls]:
    """Sub-calls without a limit, to a model that is loaded for them."""
    with tempfile.TemporaryDirectory() as folder:
        process = LocalModelProcess(Settings().models / LANGUAGE_GGUF, Path(folder) / "log")
        process.wait_ready(300)
        scheduler = SubCallScheduler()
        chat = local_chat_model(process.socket, LOCAL_QWEN)
        try:
            yield scheduler.bind(chat, LOCAL_QWEN, tenant_id="eval", budget=Budget(Limits()))
        finally:
            scheduler.close()
            chat.close()
            process.close()


@contextmanager
def local_encoder() -> Iterator[Embedder]:
    embedder = build.embedded_encoder(ModelStore(Settings().models))
    try:
        yield embedder
    finally:
        embedder.close()
