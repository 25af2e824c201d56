"""The local language model's server around an engine that a test made."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from rlm.llm.local.app import create_app
from rlm.llm.local.generation import Engine


@contextmanager
def engine_server(engine: Engine, listener: socket.socket, *, keep_alive_seconds: float = 10.0) -> Iterator[None]:
    """Serves model `m` on `listener` for the length of the block."""
    app = create_app(engine, "m", keep_alive_seconds=keep_alive_seconds)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
