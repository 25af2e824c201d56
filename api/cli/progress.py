"""Shows download progress on a terminal or in a log, and formats durations."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from api.cli.console import Console
from retrieval.models.fetch import FetchProgress
from retrieval.models.manifest import ModelFile

_LINE_EVERY_PERCENT = 10


def format_duration(seconds: float) -> str:
    """Format an approximate duration in seconds, minutes or hours."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


@contextmanager
def show_download_progress(console: Console | None = None) -> Iterator[FetchProgress]:
    """Show download progress as bars on a terminal, otherwise as a line for every 10 % of a file."""
    output = console or Console()
    if not output.is_terminal:
        yield _ProgressLines(output)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=output) as bars:
        yield _ProgressBars(bars)


class _ProgressBars:
    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._tasks: dict[str, tuple[TaskID, str]] = {}

    def report_progress(self, file: ModelFile, downloaded_bytes: int, total_bytes: int, source: str) -> None:
        task, known_source = self._tasks.get(file.name, (None, ""))
        if task is None:
            task = self._bars.add_task(f"{file.name} ({source})", total=total_bytes, completed=downloaded_bytes)
        elif known_source != source:
            # Restart the estimate of the speed, because the new source may be faster or slower.
            self._bars.reset(task, description=f"{file.name} ({source})", completed=downloaded_bytes)
        self._tasks[file.name] = (task, source)
        self._bars.update(task, completed=downloaded_bytes)

    def report_notice(self, message: str) -> None:
        self._bars.console.print(message, markup=False, highlight=False, soft_wrap=True)


class _ProgressLines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[str, str, int] | None = None

    def report_progress(self, file: ModelFile, downloaded_bytes: int, total_bytes: int, source: str) -> None:
        percent = 100 * downloaded_bytes // total_bytes
        line = (file.name, source, percent - percent % _LINE_EVERY_PERCENT)
        if line != self._last:
            self._last = line
            self.report_notice(f"{file.name} from {source}: {percent} % of {decimal(total_bytes)}")

    def report_notice(self, message: str) -> None:
        self._console.print(message, markup=False, highlight=False, soft_wrap=True)
