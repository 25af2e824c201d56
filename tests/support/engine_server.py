"""The local language model's server around an engine that a test made."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from rlm.llm.local.protocol import Engine
from rlm.llm.local.server import create_app


@contextmanager
def engine_server(engine: Engine, listener: socket.socket) -> Iterator[None]:
    """Serves model `m` on `listener` for the length of the block."""
    app = create_app(engine, "m")
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()
