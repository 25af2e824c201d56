"""`python -m tests.support.cluster_servers NAME --port P`: servers beside those of a test cluster, to be killed.

`node` passes connections on to a vector server, `bucket` passes each request on after a delay, `s3` keeps objects in
memory, and `model` gives one reply to every question.
"""

import argparse
import threading
from contextlib import AbstractContextManager

from tests.support.delaying_proxy import delaying
from tests.support.relay import Relay
from tests.support.s3_server import s3_server
from tests.support.scripted_openai import ScriptedOpenAI

# A bucket in the same region answers in 10 to 50 ms.
_BUCKET_MS = 20
_REPLY_SECONDS = 0.3


def main() -> None:
    """Serve until the process is killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=["node", "bucket", "s3", "model"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--target", default="")
    options = parser.parse_args()
    if options.name == "model":
        _answer(options.port)
    else:
        with _open(options.name, options.port, options.target):
            threading.Event().wait()


def _open(name: str, port: int, target: str) -> AbstractContextManager[object]:
    if name == "node":
        return Relay(target, port=port).running()
    return delaying(target, _BUCKET_MS, port=port) if name == "bucket" else s3_server(port=port)


def _answer(port: int) -> None:
    with ScriptedOpenAI(
        lambda _: "It is said here [1].", window_tokens=10**9, port=port, keeps_requests=False
    ) as server:
        server.delay_seconds = _REPLY_SECONDS
        server.serve_forever()


if __name__ == "__main__":
    main()
