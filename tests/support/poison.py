"""Documents that harm whoever handles them: the parser's child, or the worker that encodes them.

`poisoned_parser` and `PoisonedEncoder` are the product's own, which obey what such a document says.
"""

import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from ingest.parsing.isolation import child
from ingest.parsing.isolation.sandbox import ParserSandbox
from ingest.parsing.isolation.settings import ParserSettings
from ingest.parsing.registry import ParserFunction, get_parser
from ingest.parsing.types import EntryLimits, ParsedDocument, ParserLimits
from retrieval.encoders.port import EmbeddedTexts, HashingEmbedder

HARMS = ("kill", "hang", "memory")
_PARSER, _ENCODER = "POISON for the parser:", "POISON for the encoder:"
# How long a parser may take that hangs, if not 10 seconds.
WALL_SECONDS = "POISON_WALL_SECONDS"


def poison(number: int) -> str:
    """The text of the `number`-th poisoned document: every harm, for parser and encoder in turn."""
    whom = (_PARSER, _ENCODER)[number % 2]
    return f"# Poison {number}\n\nSome innocent words before it.\n\n{whom} {HARMS[number // 2 % len(HARMS)]}\n"


def poisoned_parser(scratch: Path, settings: ParserSettings) -> ParserSandbox:
    command = (sys.executable, "-I", str(Path(__file__)))
    seconds = float(os.environ.get(WALL_SECONDS, 10.0))
    limits = ParserLimits(memory_bytes=400_000_000, cpu_seconds=20, wall_seconds=seconds)
    return ParserSandbox(limits, command=command, scratch_folder=scratch, isolation=settings.parser_isolation)


def hanging_parsers(of: int) -> list[psutil.Process]:
    """The processes of poisoned documents that hang, below a process and its children.

    A parser forks a short one when it starts, which is not meant.
    """
    found = []
    with suppress(psutil.Error):
        for process in psutil.Process(of).children(recursive=True):
            with suppress(psutil.Error):
                parent = process.parent()
                is_ours = parent is not None and parent.pid != of and __file__ in parent.cmdline()
                found += [process] if is_ours and time.time() - process.create_time() > 1 else []
    return found


class PoisonedEncoder(HashingEmbedder):
    """Harms its own process, the worker."""

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        for text in texts:
            _obey(text, _ENCODER)
        return super().embed_documents(texts)


def limit_memory(spare_bytes: int = 3_000_000_000) -> None:
    """Let this process take only so much more: a worker that eats memory must not take the machine with it."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare_bytes, resource.RLIM_INFINITY))


def _obey(text: str, whom: str) -> None:
    _, found, rest = text.partition(whom)
    match rest.split()[0] if found else "":
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            time.sleep(3_600)
        case "memory":
            kept = [bytes(50_000_000) for _ in range(1_000)]
            del kept
        case _:
            return


def _find_parser(media_type: str, room: EntryLimits) -> ParserFunction:
    def parse(path: Path) -> ParsedDocument:
        _obey(path.read_text(), _PARSER)
        return get_parser(media_type, room)(path)

    return parse


if __name__ == "__main__":
    child.main(_find_parser)
