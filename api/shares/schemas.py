"""Wire models for links to conversations and runs, and for the content of the links."""

from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from api.answers.conversation_schemas import TurnOut
from api.answers.run_schemas import RunWithAnswerOut
from api.http.wire import Instant, Wire
from ingest.storage.answers.feedback_records import Share


class ShareIn(Wire):
    """A link to share a `conversation` or a `run`. `expires_at` defaults to the latest possible time."""

    conversation: str | None = Field(None, min_length=1, max_length=64)
    run: str | None = Field(None, min_length=1, max_length=64)
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _require_one_target(self) -> Self:
        if (self.conversation is None) == (self.run is None):
            raise ValueError("send either `conversation` or `run`, not both")
        return self


class ShareOut(Wire):
    """A share link. `url` is its portal URL, or only a path if no public URL is configured.

    `by` is the link's creator, such as `user:ann`.
    """

    id: str
    conversation: str | None
    run: str | None
    url: str
    by: str
    created_at: Instant
    expires_at: Instant

    @classmethod
    def from_share(cls, share: Share, public_url: str | None) -> Self:
        return cls(
            id=share.id,
            conversation=share.conversation_id,
            run=share.run_id,
            url=f"{(public_url or '').rstrip('/')}/shared/{share.id}",
            by=share.owner,
            created_at=share.created_at,
            expires_at=share.ends_at,
        )


class SharePage(Wire):
    """A page of valid links, newest first; `next_cursor` is null on the last page."""

    shares: list[ShareOut]
    next_cursor: str | None


class SharedOut(Wire):
    """The content of a link, limited to what its reader may see: a page of a conversation's `turns`, or a `run`.

    If an answer used a document that the reader cannot read, only sentences supported by citations of other documents
    are shown.
    """

    kind: Literal["conversation", "run"]
    title: str
    by: str
    created_at: datetime
    expires_at: datetime
    turns: list[TurnOut]
    next_cursor: str | None
    run: RunWithAnswerOut | None
