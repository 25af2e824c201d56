"""Remove each guard from a copy of the tree, and check that its test fails.

A guard is code whose absence would be a hole in security or in the integrity of data. To add one:

1. Write the test that fails without it.
2. Mark the code in a comment line directly above it: `# guard: short-slug`, in JS `// guard: short-slug`, in a Helm
   template `{{- /* guard: short-slug */}}`. Several marks may stand above the same line.
3. Add a row `[short-slug]` to `tests/faults/guards.toml`, in alphabetical order, with `purpose`, `replacement`, `test`.
4. In Python the mark covers the next statement with its block, or its header alone if the replacement is a header that
   ends with ":"; within an expression, and in other files, it covers the next line. `lines = 2` covers two lines.
5. The replacement needs no indentation. An empty one removes the code. It uses only names that the file uses.
6. Run `python -m tests.faults.remove_guards short-slug`.

python -m tests.faults.remove_guards                           # every guard
python -m tests.faults.remove_guards job-fence key-expiry      # these two
python -m tests.faults.remove_guards --since main              # guards whose code, row or test file differs from main
python -m tests.faults.remove_guards --jobs 2 --results FILE   # run again with the same file to continue
"""

import argparse
import queue
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.faults.guards.checks import locate_guards
from tests.faults.guards.regions import Mark
from tests.faults.guards.table import TABLE, Guard, load_guards, parse_guards
from tests.faults.guards.trials import Outcome, TreeCopy, Verdict

_ROOT = Path(__file__).parents[2]
# Guards whose tests run together on unmodified code. An interrupted run repeats that for one batch of each worker.
_BATCH = 12


class _Results:
    """Print outcomes, and append them to a file from which an interrupted run continues."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self.outcomes: list[Outcome] = []

    def list_noticed(self) -> set[str]:
        """Return the slugs that an earlier run found noticed; all others are tried again."""
        if self._file is None or not self._file.exists():
            return set()
        lines = (line.split("\t") for line in self._file.read_text("utf-8").splitlines())
        return {slug for slug, verdict, *_ in lines if verdict == Verdict.NOTICED}

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        print(f"{outcome.verdict:11}  {outcome.slug}: {outcome.detail}", flush=True)
        if self._file is not None:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(f"{outcome.slug}\t{outcome.verdict}\t{outcome.detail}\n")


def main() -> int:
    asked = _parse_arguments()
    results = _Results(asked.results)
    noticed = results.list_noticed()
    guards = [guard for guard in _choose(asked.slugs) if guard.slug not in noticed]
    marks, problems = locate_guards(_ROOT, guards)
    if asked.since:
        changed = _list_changed(asked.since, guards, marks)
        guards = [guard for guard in guards if guard.slug in changed]
    for guard in guards:
        if guard.slug in problems:
            results.add(Outcome(guard.slug, Verdict.BROKEN, problems[guard.slug]))
    for outcome in _try_all([guard for guard in guards if guard.slug in marks], marks, asked.jobs):
        results.add(outcome)
    counts = Counter(outcome.verdict for outcome in results.outcomes)
    earlier = f", {len(noticed)} noticed by an earlier run" if noticed else ""
    print(", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict) + earlier)
    return 1 if counts[Verdict.MISSED] or counts[Verdict.BROKEN] else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("slugs", nargs="*", metavar="SLUG", help="the guards to remove; all by default")
    parser.add_argument("--jobs", type=int, default=1, help="guards removed at the same time, each in its own copy")
    parser.add_argument("--since", metavar="REV", help="only guards whose code, row or test file differs from REV")
    parser.add_argument("--results", type=Path, metavar="FILE", help="append outcomes here; noticed ones are skipped")
    return parser.parse_args()


def _choose(slugs: Sequence[str]) -> list[Guard]:
    guards = load_guards()
    if unknown := set(slugs) - {guard.slug for guard in guards}:
        sys.exit(f"{TABLE.name} has no row for {', '.join(sorted(unknown))}.")
    return [guard for guard in guards if not slugs or guard.slug in slugs]


def _list_changed(revision: str, guards: Iterable[Guard], marks: dict[str, Mark]) -> set[str]:
    """Return the slugs whose marked file, test file or row differs from the revision."""
    files = set(_run_git("diff", "--name-only", revision).splitlines())
    former = set()
    if _run_git("ls-tree", "--name-only", revision, str(TABLE.relative_to(_ROOT))):
        former = set(parse_guards(_run_git("show", f"{revision}:{TABLE.relative_to(_ROOT)}")))
    changed = set()
    for guard in guards:
        mark = marks.get(guard.slug)
        if mark is None or str(mark.file) in files or guard.test_file in files or guard not in former:
            changed.add(guard.slug)
    return changed


def _run_git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True).stdout


def _try_all(guards: Iterable[Guard], marks: dict[str, Mark], jobs: int) -> Iterator[Outcome]:
    """Yield outcomes as they come, from `jobs` workers, each of which takes a batch of guards with similar tests."""
    outcomes: queue.Queue[Outcome | None] = queue.Queue()
    waiting: queue.SimpleQueue[list[Guard]] = queue.SimpleQueue()
    stopping = threading.Event()  # the run was interrupted, so workers begin nothing more
    ordered = sorted(guards, key=lambda guard: (guard.options, guard.test))
    for begin in range(0, len(ordered), _BATCH):
        waiting.put(ordered[begin : begin + _BATCH])

    def work() -> None:
        try:
            with tempfile.TemporaryDirectory() as folder:
                copy = TreeCopy(_ROOT, Path(folder))
                while not stopping.is_set():
                    for outcome in copy.try_guards(waiting.get_nowait(), marks):
                        outcomes.put(outcome)
                        if stopping.is_set():
                            break
        except queue.Empty:
            pass
        finally:
            outcomes.put(None)

    with ThreadPoolExecutor(jobs) as pool:
        try:
            workers = [pool.submit(work) for _ in range(jobs)]
            for _ in workers:
                yield from iter(outcomes.get, None)
            for worker in workers:
                worker.result()
        finally:
            stopping.set()


if __name__ == "__main__":
    sys.exit(main())
