"""The language model's own process: an OpenAI-compatible server on a Unix socket.

    python -m rlm.llm.local.server --model FILE --uds SOCKET

It listens once the model is in memory. It ends on SIGTERM, and by itself when the process that started it is gone.
"""

import argparse
import dataclasses
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from rlm.errors import LanguageModelError, LanguageModelUnavailableError
from rlm.llm.local.app import create_app
from rlm.llm.local.generation import EngineLimits
from rlm.llm.local.process import LOAD_FAILED, failure_file
from rlm.llm.profiles import LOCAL_QWEN

log = logging.getLogger("rlm.llm.local.server")

_GRACE_SECONDS = 2
_PARENT_POLL_SECONDS = 1.0
_HARD_EXIT_SECONDS = 5.0


def main(arguments: Sequence[str]) -> int:
    """Serve until the engine breaks down, and return 1 or `LOAD_FAILED`. A signal ends the process inside."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if options.parent_pid is not None:
        threading.Thread(target=_end_with, args=(options.parent_pid,), name="parent-watch", daemon=True).start()

    try:
        server = _server(options)
    except LanguageModelError as error:
        log.error("The language model cannot be loaded: %s", error)
        said = json.dumps({"reason": error.detail, "hint": error.hint})
        failure_file(options.uds).write_text(said, encoding="utf-8")
        return LOAD_FAILED
    with _listen(options.uds) as listener:
        server.run(sockets=[listener])
    return 1


def _server(options: argparse.Namespace) -> uvicorn.Server:
    """The server around a model that is loaded. Raises `LanguageModelError`."""
    try:
        from rlm.llm.local.engine import OpenVINOEngine, load_pipeline
    except ImportError as error:
        raise LanguageModelUnavailableError(
            f"OpenVINO GenAI cannot be imported: {error}", hint="Install it: pip install 'leadline[embedded]'."
        ) from error

    def stop_serving() -> None:
        server.should_exit = True

    begun, limits = time.monotonic(), _limits(options)
    engine = OpenVINOEngine(load_pipeline(options.model, limits), limits, on_broken=stop_serving)
    log.info("The language model is ready after %.1f s.", time.monotonic() - begun)
    config = uvicorn.Config(
        create_app(engine, options.name),
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    return server


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rlm.llm.local.server", description="Serve a GGUF model.")
    parser.add_argument("--model", type=Path, required=True, help="the GGUF file")
    parser.add_argument("--uds", type=Path, required=True, help="where to create the Unix socket")
    parser.add_argument("--name", default=LOCAL_QWEN.name, help="the model's name for clients")
    parser.add_argument("--parent-pid", type=int, help="end when this process is no longer the parent")
    for field in dataclasses.fields(EngineLimits):
        flag = "--" + field.name.replace("_", "-")
        parser.add_argument(flag, type=type(field.default), default=field.default)
    return parser


def _limits(options: argparse.Namespace) -> EngineLimits:
    return EngineLimits(**{field.name: getattr(options, field.name) for field in dataclasses.fields(EngineLimits)})


def _listen(path: Path) -> socket.socket:
    """A socket only this user can reach, whatever the folder's permissions."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    old_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(old_mask)
    return listener


def _end_with(parent_pid: int) -> None:
    # Not PR_SET_PDEATHSIG: that follows the thread that started us, and exists on Linux only.
    while os.getppid() == parent_pid:
        time.sleep(_PARENT_POLL_SECONDS)
    log.warning("The process that started this one is gone.")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_HARD_EXIT_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    logging.shutdown()
    # Not sys.exit: the engine steps in a thread that cannot be stopped.
    os._exit(exit_code)
