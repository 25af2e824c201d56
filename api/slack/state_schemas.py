"""Response models for the state of the Slack bot."""

from typing import Any, Literal

from pydantic import Field

from api.http.remark_schemas import RemarkOut
from api.http.wire import InOrder, Instant, Wire
from ingest.storage.slack.records import SharedFileState


class SlackWorkspaceOut(Wire):
    """A workspace in which the app is installed. `missing_scopes` is null if the workspace's scopes are not known."""

    id: str = Field(validation_alias="team_id")
    name: str
    installed_at: Instant
    missing_scopes: InOrder[str] | None


class SlackChannelOut(Wire):
    """A channel in which the bot was used or set up, with all of its usage.

    `collections` are those that questions search, all if it is empty. `files_to` is the collection that every file of
    the channel is added to, or null. `last_day` is a UTC day, or null if the bot was not used yet.
    """

    channel: str
    collections: list[str]
    files_to: str | None
    mention_only: bool
    questions: int
    answers: int
    files: int
    last_day: str | None


class SlackFailureOut(Wire):
    """The last question or shared message that failed, with the `code` of its error."""

    code: str
    channel: str
    at: Instant


class SlackManifestsOut(Wire):
    """The manifests of the Slack app. `http` is null if the service has no public address."""

    http: dict[str, Any] | None
    socket_mode: dict[str, Any]


class SlackStateOut(Wire):
    """The state of the Slack bot, from the settings and from what is stored. Slack is not called.

    `transport` says how events arrive; it is null if the bot is not set up. `files` counts shared files by state, and
    `users` the Slack users who asked or shared files.
    """

    is_set_up: bool
    transport: Literal["http", "socket_mode"] | None
    public_url: str | None
    takes_files: bool
    collection: str
    workspaces: list[SlackWorkspaceOut]
    channels: list[SlackChannelOut]
    files: dict[SharedFileState, int]
    users: int
    open_questions: int
    last_event_at: Instant | None
    last_failure: SlackFailureOut | None
    manifests: SlackManifestsOut


class SlackFindingOut(Wire):
    """The result of a check. `next_step` is empty if nothing is wrong; the bot works without what is not `needed`.

    `coded_what`, `coded_found` and `coded_next_step` say the same with a code, or are null.
    """

    what: str
    found: str
    next_step: str
    needed: bool
    coded_what: RemarkOut | None
    coded_found: RemarkOut | None
    coded_next_step: RemarkOut | None


class SlackFindingList(Wire):
    """The results of all checks of the Slack app."""

    findings: list[SlackFindingOut]
