"""Shows the stages of an upload as bars on a terminal, otherwise as a line every ten seconds."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from api.cli.console import Console
from api.cli.progress import format_duration

# A callback that receives a stage, the completed count, the total, and a remark such as the remaining time or a paused
# kind of work.
Watch = Callable[[str, int, int, str], None]

LINE_EVERY_SECONDS = 10.0
_POLL_SECONDS = 0.5
_UNITS = {"uploading": "files", "searchable": "documents", "ready": "chunks"}


@contextmanager
def show_stages(console: Console) -> Iterator[Watch]:
    """Yield a `Watch` callback that displays progress on the console."""
    if console.is_terminal:
        with _StageBars(console) as watch:
            yield watch
        return
    lines, over = (
        StageLines(lambda line: console.print(line, markup=False, highlight=False, soft_wrap=True)),
        threading.Event(),
    )

    def print_lines_periodically() -> None:
        # Print a line even if nothing has changed, so that a document that takes minutes does not look stuck.
        while not over.wait(_POLL_SECONDS):
            lines.print_if_due()

    printing = threading.Thread(target=print_lines_periodically, name="progress lines", daemon=True)
    printing.start()
    try:
        yield lines.record_stage
    finally:
        over.set()
        printing.join()


@dataclass(frozen=True)
class _Stage:
    """The latest progress of a stage."""

    name: str
    done: int
    total: int
    remark: str

    def __str__(self) -> str:
        text = f"{self.name}: {self.done:,} of {self.total:,} {_UNITS.get(self.name, '')}".rstrip()
        return f"{text} done, {self.total - self.done:,} waiting" + (f"; {self.remark}" if self.remark else "")


class StageLines:
    """Prints the first incomplete stage every ten seconds.

    `record_stage` and `print_if_due` can be called from different threads.
    """

    def __init__(self, print_line: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._print_line = print_line
        self._clock = clock
        self._begun = self._printed_at = clock()
        self._stages: dict[str, _Stage] = {}
        self._lock = threading.Lock()

    def record_stage(self, stage: str, done_count: int, total: int, remark: str) -> None:
        """Record the progress of a stage."""
        with self._lock:
            self._stages[stage] = _Stage(stage, done_count, total, remark)

    def print_if_due(self) -> None:
        """Print a line if at least ten seconds have passed since the last one."""
        now = self._clock()
        if now - self._printed_at < LINE_EVERY_SECONDS:
            return
        self._printed_at = now
        with self._lock:
            stages = list(self._stages.values())
        unfinished = [stage for stage in stages if stage.done < stage.total]
        current = (unfinished or stages[-1:])[:1]
        self._print_line(f"after {format_duration(now - self._begun)}: {current[0] if current else 'uploading'}")


class _StageBars:
    """Shows a progress bar for each stage that has started."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[remark]}", markup=False),
            console=console,
        )
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Watch:
        self._progress.start()
        return self._update_bar

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def _update_bar(self, stage: str, done_count: int, total: int, remark: str) -> None:
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, remark="")
        self._progress.update(self._tasks[stage], completed=done_count, total=total, remark=remark)
