"""Sub-calls that are made only where all their replies are kept, and so cost nothing.

What was found of all records answers a question about a part of them, too, and in the same words: but nobody pays for
all who asks about a part.
"""

from collections.abc import Callable, Sequence

from rlm.profiles import ModelProfile
from rlm.strategies import never
from rlm.subcalls.cache import ReplyCache, reply_key
from rlm.subcalls.port import Finished, SubCall, SubCalls, SubFailure, SubReply, ignore
from rlm.subcalls.sharing import read_cache

AreKept = Callable[[Sequence[SubCall]], bool]


class NotKeptError(Exception):
    """A reply is not kept; nothing was sent."""


def kept_by(cache: ReplyCache, tenant_id: str, profile: ModelProfile) -> AreKept:
    """Whether a tenant's replies to all of some calls are there."""

    def are_kept(calls: Sequence[SubCall]) -> bool:
        keys = {reply_key(tenant_id, profile, call) for call in calls}
        return keys <= read_cache(cache, tenant_id, keys).keys()

    return are_kept


class KeptSubCalls:
    """Those of `subcalls` whose replies are kept; `run` raises `NotKeptError` where one of a batch is not."""

    def __init__(self, subcalls: SubCalls, are_kept: AreKept) -> None:
        self._subcalls = subcalls
        self._are_kept = are_kept

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = never, finished: Finished = ignore
    ) -> Sequence[SubReply | SubFailure]:
        if not self._are_kept(calls):
            raise NotKeptError
        return self._subcalls.run(calls, cancelled=cancelled, finished=finished)
