"""What Slack says no with.

SealError                   a workspace's token cannot be opened
NotConnectedError           it is not known yet which workspace is whose
SlackError
├── SlackBusyError          try again after `seconds`
├── FileRefusedError        a file is not taken
├── SlackUnavailableError   whether it was done is not known
└── SlackRefusedError       it was not done, and trying again does not help
"""

from typing import ClassVar

from ingest.storage.errors import LeadlineError


class SealError(LeadlineError):
    """A workspace's token cannot be sealed or opened with the keys that are set."""

    code: ClassVar[str] = "seal_error"


class NotConnectedError(LeadlineError):
    """An event came before Slack has told whose the bot's token is."""

    code: ClassVar[str] = "slack_not_connected"


class SlackError(LeadlineError):
    """A call of Slack's Web API failed."""

    code: ClassVar[str] = "slack_error"


class SlackBusyError(SlackError):
    """Slack takes no more calls for now; nothing was done."""

    code: ClassVar[str] = "slack_busy"

    def __init__(self, detail: str, seconds: float) -> None:
        super().__init__(detail)
        self.seconds = seconds


class SlackUnavailableError(SlackError):
    """Slack did not answer, or failed; whether it did what it was asked is not known."""

    code: ClassVar[str] = "slack_unavailable"


class FileRefusedError(SlackError):
    """A file in Slack that cannot become a document; the text says why, and what to do."""

    code: ClassVar[str] = "slack_file_refused"


class SlackRefusedError(SlackError):
    """Slack refused. `reason` is its word for why, such as `channel_not_found`."""

    code: ClassVar[str] = "slack_refused"

    def __init__(self, method: str, reason: str) -> None:
        super().__init__(f"Slack refuses {method}: {reason}.")
        self.reason = reason
