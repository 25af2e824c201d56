"""Links to conversations and runs on the wire, and what is read by them."""

from datetime import datetime
from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from api.answers.conversation_schemas import TurnOut
from api.answers.run_schemas import RunWithAnswerOut
from api.http.wire import Instant, Wire
from ingest.storage.answers.feedback_records import Share


class ShareIn(Wire):
    """A link to a `conversation` or to a `run`; without `expires_at` it is valid for as long as links may be."""

    conversation: str | None = Field(None, min_length=1, max_length=64)
    run: str | None = Field(None, min_length=1, max_length=64)
    expires_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _require_one_target(self) -> Self:
        if (self.conversation is None) == (self.run is None):
            raise ValueError("send either `conversation` or `run`")
        return self


class ShareOut(Wire):
    """A link. `url` is where people of the tenant read it in the portal: a path, where no public URL is set.

    `by` is who made it, such as `user:ann`.
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
    """A page of links that are valid, newest first; `next_cursor` is null on the last one."""

    shares: list[ShareOut]
    next_cursor: str | None


class SharedOut(Wire):
    """What a link leads to, as its reader may see it: a page of a conversation's `turns`, or a `run`.

    Of an answer that was given a document which is closed to the reader, only those sentences are shown that cite
    other documents and were found to rest on them.
    """

    kind: Literal["conversation", "run"]
    title: str
    by: str
    created_at: datetime
    expires_at: datetime
    turns: list[TurnOut]
    next_cursor: str | None
    run: RunWithAnswerOut | None
