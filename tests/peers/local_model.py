"""The local language model on a port of loopback: `python -m tests.peers.local_model --port 8770`."""

import argparse

import uvicorn

from api.settings.settings import Settings
from retrieval.models.manifest import LANGUAGE_GGUF, load_model_file
from retrieval.models.store import ModelStore
from rlm.llm.local.engine import OpenVINOEngine, load_pipeline
from rlm.llm.local.protocol import EngineLimits
from rlm.llm.local.server import create_app
from rlm.llm.profiles import LOCAL_QWEN


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.peers.local_model", description="Serve the local model.")
    parser.add_argument("--port", type=int, default=8770)
    options = parser.parse_args()
    path = ModelStore(Settings().models).require_verified_path(load_model_file(LANGUAGE_GGUF))

    def stop() -> None:
        server.should_exit = True

    limits = EngineLimits()
    engine = OpenVINOEngine(load_pipeline(path, limits), limits, on_broken=stop)
    app = create_app(engine, LOCAL_QWEN.name)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=options.port, log_level="warning"))
    server.run()


if __name__ == "__main__":
    main()
