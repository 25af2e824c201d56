"""The `Parser` that the product uses: parsing in a child process with limits."""

import signal
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ingest.errors import (
    DamagedDocumentError,
    EncryptedDocumentError,
    LeadlineError,
    NoTextError,
    ParseError,
    ParserLimitError,
    StorageFullError,
    UnsupportedTypeError,
)
from ingest.normalize import normalize_title
from ingest.parsing.handover import HandoverError, discard_document, read_document
from ingest.parsing.process import CHILD_COMMAND, BadAnswerError, ChildEndedError, ParserProcess
from ingest.parsing.types import DEFAULT_LIMITS, ParsedDocument, ParserLimits

_MESSAGE_CHARS = 1_000
_KNOWN: dict[str, type[LeadlineError]] = {
    kind.code: kind
    for kind in (
        DamagedDocumentError,
        EncryptedDocumentError,
        NoTextError,
        ParseError,
        ParserLimitError,
        StorageFullError,
        UnsupportedTypeError,
    )
}
_DOUBTFUL = (DamagedDocumentError, ParserLimitError)  # memory that others left taken looks like these


@dataclass(frozen=True)
class _Refusal:
    """The reason why there is no text; `in_doubt` if an earlier document may have impaired the child."""

    error: LeadlineError
    in_doubt: bool


class ParserSandbox:
    """A parser child and its folder. For one thread at a time; threads that parse side by side have one each.

    The child is started when it is first needed, and replaced after any failure and after
    `limits.documents_per_child` documents. It gets nothing of our environment, and it ends with this process. A
    document on which a used child fails is tried once more in a fresh one, so that the verdict is on it alone.
    """

    def __init__(
        self,
        limits: ParserLimits = DEFAULT_LIMITS,
        *,
        command: Sequence[str] = CHILD_COMMAND,
        scratch: Path | None = None,
    ) -> None:
        """`command` starts a process that speaks as `ingest.parsing.child` does; texts are handed over in `scratch`."""
        self._limits = limits
        self._command = command
        self._folder = tempfile.TemporaryDirectory(prefix="leadline-parser-", dir=scratch)
        self._child: ParserProcess | None = None

    def parse(self, path: Path, media_type: str, *, name: str) -> ParsedDocument:
        """Parse a file in the child.

        Raises the `ParseError`s, `UnsupportedTypeError`, `StorageFullError`, `FileNotFoundError`, and `IngestError`
        when the child cannot be started.
        """
        path.stat()
        outcome = self._attempt(path, media_type, name)
        if isinstance(outcome, _Refusal) and outcome.in_doubt:
            outcome = self._attempt(path, media_type, name)
        if isinstance(outcome, _Refusal):
            raise outcome.error
        return outcome

    def close(self) -> None:
        """End the child and remove the folder."""
        self._replace_child()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attempt(self, path: Path, media_type: str, name: str) -> ParsedDocument | _Refusal:
        folder = Path(self._folder.name)
        child = self._child_with_room(folder)
        used = child.requests > 0
        discard_document(folder)
        request = {
            "path": str(path.absolute()),
            "media_type": media_type,
            "folder": str(folder),
            "limits": asdict(self._limits),
        }
        outcome: ParsedDocument | _Refusal | None = None
        try:
            answer = child.ask(request, self._limits.wall_seconds)
            if "code" in answer:
                error = _error_in(answer)
                outcome = _Refusal(error, used and isinstance(error, _DOUBTFUL))
            else:
                outcome = read_document(folder, self._limits.text_bytes)
        except TimeoutError:
            outcome = _Refusal(_too_slow(name, f"{self._limits.wall_seconds:g} s"), in_doubt=False)
        except ChildEndedError:
            outcome = self._refusal_of_the_dead(child, name, used)
        except (BadAnswerError, HandoverError):
            outcome = _Refusal(DamagedDocumentError(f"The parser gave no usable answer on {_shown(name)}."), used)
        finally:
            if not isinstance(outcome, ParsedDocument):
                self._replace_child()
        return outcome

    def _child_with_room(self, folder: Path) -> ParserProcess:
        if self._child is not None and self._child.requests >= self._limits.documents_per_child:
            self._replace_child()
        if self._child is None:
            self._child = ParserProcess(self._command, folder)
        return self._child

    def _replace_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.end()

    def _refusal_of_the_dead(self, child: ParserProcess, name: str, used: bool) -> _Refusal:
        status = child.end()
        if status == -signal.SIGXCPU:
            return _Refusal(_too_slow(name, f"{self._limits.cpu_seconds} s of processor time"), in_doubt=False)
        if status == -signal.SIGKILL:
            killed = f"Parsing {_shown(name)} was killed by the system, most likely for its memory."
            return _Refusal(ParserLimitError(killed), used)
        if status < 0:
            return _Refusal(_crash(name, -status, self._limits.memory_bytes), used)
        return _Refusal(DamagedDocumentError(f"The parser ended on {_shown(name)} without an answer."), used)


def _too_slow(name: str, allowance: str) -> ParserLimitError:
    return ParserLimitError(f"Parsing {_shown(name)} took more than {allowance} and was stopped.")


def _crash(name: str, number: int, memory_bytes: int) -> DamagedDocumentError:
    """Word a crash. C libraries crash on damage, many also when memory runs out; from outside the two look the same."""
    reason = signal.strsignal(number) or f"signal {number}"
    return DamagedDocumentError(
        f"The parser crashed on {_shown(name)} ({reason}): it is damaged, or needs more than {memory_bytes:,} bytes "
        "of memory.",
        hint="Export it again from its own program, or split it into smaller files.",
    )


def _error_in(answer: dict[str, Any]) -> LeadlineError:
    kind = _KNOWN.get(str(answer["code"]), DamagedDocumentError)
    return kind(str(answer.get("detail", ""))[:_MESSAGE_CHARS], hint=str(answer.get("hint", ""))[:_MESSAGE_CHARS])


def _shown(name: str) -> str:
    return normalize_title(name) or "the document"
