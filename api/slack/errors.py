"""The errors of the Slack bot.

SealError                   a workspace's token cannot be encrypted or decrypted
NotConnectedError           the workspace of the bot token is not known yet
SlackError
├── SlackBusyError          Slack is rate limiting the call: retry after `seconds`
├── FileRefusedError        a file cannot become a document
├── SlackUnavailableError   Slack may or may not have carried out the call
└── SlackRefusedError       Slack did not carry out the call, and a retry would not help
"""

from typing import ClassVar

from ingest.storage.errors import LeadlineError


class SealError(LeadlineError):
    """A workspace's token cannot be encrypted or decrypted with the configured keys."""

    code: ClassVar[str] = "seal_error"


class NotConnectedError(LeadlineError):
    """An event arrived before the workspace of the bot token was known."""

    code: ClassVar[str] = "slack_not_connected"


class SlackError(LeadlineError):
    """A call to Slack's Web API failed."""

    code: ClassVar[str] = "slack_error"


class SlackBusyError(SlackError):
    """Slack is rate limiting the call, which was not carried out. Retry after `seconds`."""

    code: ClassVar[str] = "slack_busy"

    def __init__(self, detail: str, retry_after_seconds: float) -> None:
        super().__init__(detail)
        self.seconds = retry_after_seconds


class SlackUnavailableError(SlackError):
    """Slack failed or did not respond. The call may or may not have been carried out."""

    code: ClassVar[str] = "slack_unavailable"


class FileRefusedError(SlackError):
    """A file in Slack cannot become a document. The detail and hint explain why, and what to do."""

    code: ClassVar[str] = "slack_file_refused"


class SlackRefusedError(SlackError):
    """Slack rejected a call. `reason` is Slack's error code, such as `channel_not_found`."""

    code: ClassVar[str] = "slack_refused"

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(f"Slack refused {method}: {reason}.")
        self.method, self.reason = method, reason
