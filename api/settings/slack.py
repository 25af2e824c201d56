"""Settings of the Slack app."""

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SlackSettings(BaseSettings):
    """Settings of the Slack app. The bot requires a signing secret or an app token."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    slack_signing_secret: SecretStr | None = Field(
        None,
        description="The signing secret of the Slack app, which authenticates Slack's requests. Requires the "
        "`slack` extra. See docs/slack.md for the setup.",
    )
    slack_app_token: SecretStr | None = Field(
        None,
        description="The app-level token (`xapp-…`) for Socket Mode, which works if Slack cannot reach the service.",
    )
    slack_bot_token: SecretStr | None = Field(
        None, description="The bot token (`xoxb-…`), if the app is installed in only one workspace."
    )
    slack_client_id: str | None = Field(
        None,
        description="The app's client id, if several workspaces install it with the link from `leadline slack link`.",
    )
    slack_client_secret: SecretStr | None = Field(
        None, description="The app's client secret. Required with the client id."
    )
    slack_token_keys: SecretStr | None = Field(
        None,
        description="Keys from `leadline slack key` that encrypt the tokens of workspaces, separated by spaces. "
        "The first key encrypts. To rotate keys, put a new key before the old one.",
    )
    slack_tenant: str = Field("default", description="The id of the tenant for the bot token's workspace.")
    slack_files: bool = Field(
        True, description="Whether files that people share with the bot in Slack become documents."
    )
    slack_delete_files: bool = Field(
        True, description="Whether a document is deleted when its file is deleted in Slack."
    )
    slack_collection: str = Field(
        "slack",
        pattern=r"^[\w.-]{1,128}$",
        description="The collection for files from direct messages, and from channels that have not chosen one.",
    )
    slack_api_url: str = Field("https://slack.com/api/", description="The address of Slack's Web API.")

    @property
    def slack_is_set(self) -> bool:
        return self.slack_signing_secret is not None or self.slack_app_token is not None

    @model_validator(mode="after")
    def _require_complete_credentials(self) -> "SlackSettings":
        if (self.slack_client_id is None) != (self.slack_client_secret is None):
            raise ValueError("LEADLINE_SLACK_CLIENT_ID and LEADLINE_SLACK_CLIENT_SECRET must be set together")
        if self.slack_client_id is not None and self.slack_token_keys is None:
            raise ValueError(
                "LEADLINE_SLACK_CLIENT_ID requires LEADLINE_SLACK_TOKEN_KEYS; create a key with `leadline slack key`"
            )
        if self.slack_is_set and self.slack_bot_token is None and self.slack_client_id is None:
            raise ValueError(
                "the Slack app requires LEADLINE_SLACK_BOT_TOKEN, or LEADLINE_SLACK_CLIENT_ID for installation by link"
            )
        return self
