"""Slack channels as sources: each thread, or message without replies, is a document."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ingest.sources.errors import SourceOptionsError
from ingest.sources.port import Source, SourceContext, SourceKind


class SlackOptions(BaseModel):
    """Options of Slack channels."""

    model_config = ConfigDict(title="Slack channels")

    token: SecretStr = Field(
        title="Token of the app",
        description="The bot token of a Slack app that is a member of the channels. It begins with `xoxb-`.",
    )
    channels: tuple[str, ...] = Field(
        title="Channels",
        min_length=1,
        description="The ids of the channels, such as `C0123456789`. Slack shows them in a channel's details.",
    )
    days: int = Field(
        0,
        title="Maximum age in days",
        ge=0,
        le=36_500,
        description="Only threads that began in this many days are kept. 0 keeps all threads.",
    )
    recheck_days: int = Field(
        30,
        title="Days in which replies are checked for edits",
        ge=0,
        le=36_500,
        description="Replies are checked for edits until a thread is this many days old. New and deleted replies are "
        "always found.",
    )


def _build_source(options: SlackOptions, context: SourceContext) -> Source:
    from ingest.sources.slack_source import SlackSource

    for channel in options.channels:
        if not channel.startswith(("C", "G")) or not channel.isalnum():
            raise SourceOptionsError(f"{channel!r} is not the id of a channel, such as C0123456789.")
    return SlackSource(options, context)


SLACK_CHANNELS = SourceKind("slack", SlackOptions, _build_source)
