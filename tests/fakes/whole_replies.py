"""The `stream` of sub-calls that have whole replies: one piece."""

from collections.abc import Callable, Iterator, Sequence

from rlm.errors import not_cancelled
from rlm.llm.port import Finished, SubCall, SubFailure, SubReply, ignore_result


class WholeReplies:
    """A base for fakes of the port; they write `run`."""

    def run(
        self,
        calls: Sequence[SubCall],
        *,
        cancelled: Callable[[], bool] = not_cancelled,
        on_result: Finished = ignore_result,
    ) -> Sequence[SubReply | SubFailure]:
        raise NotImplementedError

    def stream(
        self, call: SubCall, *, cancelled: Callable[[], bool] = not_cancelled
    ) -> Iterator[str | SubReply | SubFailure]:
        (result,) = self.run([call], cancelled=cancelled)
        if isinstance(result, SubReply):
            yield result.text
        yield result
