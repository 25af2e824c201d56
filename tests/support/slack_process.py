"""A service with the Slack bot in a process of its own, to be killed; its language model and Slack are at addresses."""

import sys
from pathlib import Path

import uvicorn

from api.build.embedded import open_embedded_services
from api.build.language_model import RemoteLanguageModel
from api.main import create_app
from api.settings.settings import Settings
from api.slack.replies import live
from retrieval.encoders.port import HashingEmbedder
from rlm import estimates
from rlm.llm.chat_models import build_remote_chat_model
from rlm.llm.port import ChatModel
from rlm.llm.profiles import ModelProfile
from tests.support.fault_folder import arm_from_environment
from tests.support.slack_double import BOT_TOKEN
from tests.support.slack_sender import SECRET


def main(home: str, model_url: str, slack_url: str, port: str, stream_seconds: str = "", calls: str = "") -> None:
    """Serve; `stream_seconds` is how long a stream is kept open, and `calls` what a run may send unasked."""
    arm_from_environment()
    if calls:
        estimates.MAX_UNCONFIRMED_CALLS = int(calls)
    if stream_seconds:
        live.STREAM_SECONDS = float(stream_seconds)
    profile = ModelProfile("scripted", 32_000, 4_000)
    model = RemoteLanguageModel(model_url, ChatModel(build_remote_chat_model(model_url, profile), profile))
    settings = Settings.model_validate(
        {
            "home": Path(home),
            "llm": "none",
            "min_free_bytes": 0,
            "ballast_bytes": 0,
            "slack_signing_secret": SECRET,
            "slack_bot_token": BOT_TOKEN,
            "slack_api_url": slack_url,
        }
    )
    with open_embedded_services(settings, encoder=HashingEmbedder(), language_model=model) as services:
        uvicorn.run(create_app(services), port=int(port), log_level="error", lifespan="on")


if __name__ == "__main__":
    main(*sys.argv[1:])
