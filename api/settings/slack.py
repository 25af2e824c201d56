"""Settings of the Slack app."""

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SlackSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`. Without a signing secret or an app token there is no bot."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    slack_signing_secret: SecretStr | None = Field(
        None,
        description="The signing secret of the Slack app, with which its requests are checked; it needs the extra "
        "`slack`. How to set the app up is in docs/slack.md.",
    )
    slack_app_token: SecretStr | None = Field(
        None,
        description="The app-level token (`xapp-…`): events come through Socket Mode, where Slack cannot reach us.",
    )
    slack_bot_token: SecretStr | None = Field(
        None, description="The bot token (`xoxb-…`) of the one workspace in which the app is installed."
    )
    slack_client_id: str | None = Field(
        None, description="The app's client id, where several workspaces install it by a link of `leadline slack link`."
    )
    slack_client_secret: SecretStr | None = Field(None, description="The app's client secret; needed with its id.")
    slack_token_keys: SecretStr | None = Field(
        None,
        description="Keys that seal the tokens of workspaces, made by `leadline slack key`, with spaces between them. "
        "The first seals; put a new one before the old one to rotate.",
    )
    slack_tenant: str = Field("default", description="The id of the tenant of the workspace whose bot token is set.")
    slack_files: bool = Field(True, description="Whether files that are shared with the bot in Slack become documents.")
    slack_delete_files: bool = Field(
        True, description="Whether a document is deleted when the file that it came from is deleted in Slack."
    )
    slack_collection: str = Field(
        "slack",
        pattern=r"^[\w.-]{1,128}$",
        description="The collection of files from direct messages and from channels that have set none.",
    )
    slack_api_url: str = Field("https://slack.com/api/", description="The address of Slack's Web API.")

    @property
    def slack_is_set(self) -> bool:
        return self.slack_signing_secret is not None or self.slack_app_token is not None

    @model_validator(mode="after")
    def _require_complete_slack(self) -> "SlackSettings":
        if (self.slack_client_id is None) != (self.slack_client_secret is None):
            raise ValueError("LEADLINE_SLACK_CLIENT_ID and LEADLINE_SLACK_CLIENT_SECRET go together")
        if self.slack_client_id is not None and self.slack_token_keys is None:
            raise ValueError(
                "LEADLINE_SLACK_CLIENT_ID needs LEADLINE_SLACK_TOKEN_KEYS, which `leadline slack key` makes"
            )
        if self.slack_is_set and self.slack_bot_token is None and self.slack_client_id is None:
            raise ValueError(
                "the Slack app needs LEADLINE_SLACK_BOT_TOKEN, or LEADLINE_SLACK_CLIENT_ID to be installed by"
            )
        return self
