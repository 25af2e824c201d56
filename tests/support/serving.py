"""An application behind a real server on a TCP port of this machine."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from api.cli.http_protocol import Connections, build_protocol_class
from api.http.bounds import MAX_HEADER_BYTES


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Its URL, while it runs. It closes no idle connection, which a client could be taking just then."""
    # With the protocol's number, asyncio disables Nagle's algorithm, as for a server that opens its own socket. Without
    # it, a response in two parts can wait 40 ms for the client's delayed acknowledgement.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        protocol = build_protocol_class(Connections(1_000, 1_000, ()), head_seconds=3_600)
        config = uvicorn.Config(
            app,
            http=protocol,
            h11_max_incomplete_event_size=2 * MAX_HEADER_BYTES,
            log_level="error",
            lifespan="on",
            timeout_keep_alive=3_600,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
