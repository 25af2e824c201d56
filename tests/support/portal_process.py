"""An embedded service with its HTTP API in a process of its own, to be killed; its language model is at a URL."""

import sys
from pathlib import Path

import uvicorn

from api.build.embedded import open_embedded_services
from api.main import create_app
from api.settings.settings import Settings
from retrieval.encoders.port import HashingEmbedder
from tests.support.run_process import scripted_model


def main(home: str, model_url: str, port: str) -> None:
    settings = Settings.model_validate({"home": Path(home), "llm": "none", "min_free_bytes": 0, "ballast_bytes": 0})
    with open_embedded_services(
        settings, encoder=HashingEmbedder(), language_model=scripted_model(model_url)
    ) as services:
        uvicorn.run(create_app(services), port=int(port), log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
