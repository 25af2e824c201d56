"""`python -m tests.support.qdrant_double --port 0 --folder F`: serves until its standard input ends, or a signal."""

import argparse
import os
import socket
import sys
import threading
from pathlib import Path

import uvicorn

from tests.support.qdrant_double.app import make_app
from tests.support.qdrant_double.store import Collections


def main() -> None:
    """Prints its URL once requests can be sent. Port 0 is any free one."""
    parser = argparse.ArgumentParser(prog="qdrant_double")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--api-key")
    parser.add_argument("--nodes", type=int, default=1)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    app = make_app(Collections(options.folder), options.api_key, options.nodes)
    listening = socket.socket(proto=socket.IPPROTO_TCP)  # With this number, asyncio disables Nagle's algorithm.
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", options.port))
    listening.listen(128)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    server.run(sockets=[listening])


def _end_with_parent() -> None:
    """The parent holds the other end of standard input; when that ends, however it ends, so does this process."""
    sys.stdin.buffer.read()
    os._exit(1)


main()
