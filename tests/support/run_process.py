"""An embedded service in a process of its own, to be killed; its language model is at a URL.

With a port, it also serves the API there.
"""

import sys
import threading
from pathlib import Path

import uvicorn

from api.build.embedded import open_embedded_services
from api.build.language_model import RemoteLanguageModel
from api.main import create_app
from api.settings.settings import Settings
from retrieval.encoders.port import HashingEmbedder
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.fault_folder import arm_from_environment


def scripted_model(url: str) -> RemoteLanguageModel:
    """Two records a call and four calls at once, so that a run has many."""
    profile = ModelProfile("scripted", 8192, 512, batch_items=2, parallel_calls=4, writes_code=True)
    return RemoteLanguageModel(url, ChatModel(build_remote_chat_model(url, profile), profile))


def main(home: str, url: str, port: str | None = None) -> None:
    arm_from_environment()
    settings = Settings.model_validate({"home": Path(home), "llm": "none", "min_free_bytes": 0, "ballast_bytes": 0})
    model = scripted_model(url)
    with open_embedded_services(settings, encoder=HashingEmbedder(), language_model=model) as services:
        if port is None:
            threading.Event().wait()
        else:
            uvicorn.run(create_app(services), port=int(port), log_level="error")


if __name__ == "__main__":
    main(*sys.argv[1:])
