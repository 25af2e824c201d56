"""Run the tests of guards in a copy of the tree, with and without each guard."""

import os
import shutil
import subprocess
import sys
import venv
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from pathlib import Path

from tests.faults.guards.regions import GUARDED, Mark, replace_region
from tests.faults.guards.table import Guard

# A test that hangs is ended by pytest's own limit of 600 seconds, before this one.
_SECONDS = 1800
_MISTAKES = ("NameError", "UnboundLocalError", "ImportError", "ModuleNotFoundError", "SyntaxError")


class Verdict(StrEnum):
    NOTICED = "noticed"
    MISSED = "NOT NOTICED"
    BROKEN = "broken"


@dataclass(frozen=True)
class Outcome:
    slug: str
    verdict: Verdict
    detail: str = ""


@dataclass
class _Report:
    """What pytest reported: its exit code, and the tests by result. `failed` has the message of each."""

    code: int
    output: str
    passed: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)


class TreeCopy:
    """A copy of the tree in `folder`, used by one worker. Guards are removed from it one at a time."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._tree = folder / "tree"
        self._folder = folder
        self._ages = count(1)
        for part in (*GUARDED, "tests"):
            source, target = root / part, self._tree / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, target)
        self._python = _make_environment(folder / "environment", self._tree)

    def try_guards(self, guards: Sequence[Guard], marks: dict[str, Mark]) -> Iterator[Outcome]:
        """Yield the outcome of each guard. All their tests are first run together on unmodified code."""
        for options in dict.fromkeys(guard.options for guard in guards):
            chosen = [guard for guard in guards if guard.options == options]
            tests = dict.fromkeys(guard.test for guard in chosen)
            unmodified = self._run([*tests, *options.split()])
            for guard in chosen:
                yield self._try(guard, marks[guard.slug], unmodified)

    def _try(self, guard: Guard, mark: Mark, unmodified: _Report) -> Outcome:
        if problem := _find_unfit(guard, unmodified):
            return Outcome(guard.slug, Verdict.BROKEN, problem)
        file = self._tree / mark.file
        text, times = file.read_bytes(), file.stat()
        try:
            file.write_bytes(replace_region(text.decode("utf-8"), mark, guard).encode("utf-8"))
            # Cached bytecode is valid for one time of change, in seconds. Each change needs its own.
            os.utime(file, (times.st_atime, int(times.st_mtime) + next(self._ages)))
            return _judge(guard, self._run(["-x", guard.test, *guard.options.split()]))
        finally:
            file.write_bytes(text)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _run(self, arguments: Sequence[str]) -> _Report:
        results = self._folder / "results.xml"
        results.unlink(missing_ok=True)
        options = ["-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1", f"--junitxml={results}"]
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),  # for helm
            "PYTHONPATH": str(self._tree),
        }
        command = [str(self._python), "-m", "pytest", *options, *arguments]
        try:
            ended = subprocess.run(
                command, cwd=self._tree, env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            return _Report(-1, f"pytest did not end within {_SECONDS} seconds.")
        report = _Report(ended.returncode, ended.stdout[-2000:] + ended.stderr[-2000:])
        if results.exists():
            _read_results(results, report)
        return report


def _make_environment(folder: Path, tree: Path) -> Path:
    """Make an environment that finds the tree first, and then what is installed here; return its Python.

    Processes that start with `-I`, such as those of parsers, look at no `PYTHONPATH`.
    """
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    installed = [path for path in sys.path if Path(path).name in {"site-packages", "dist-packages"}]
    (packages / "tree.pth").write_text("\n".join([str(tree), *installed]))
    for program in Path(sys.executable).parent.iterdir():  # such as the sandbox's interpreter
        link = folder / "bin" / program.name
        if not link.exists():
            link.symlink_to(program)
    return folder / "bin" / "python"


def _read_results(results: Path, report: _Report) -> None:
    for case in ET.parse(results).iter("testcase"):
        name = f"{case.get('file')}::{case.get('name')}"
        failure = case.find("failure")
        if failure is not None:
            report.failed[name] = failure.get("message", "")
        elif case.find("error") is not None:
            report.errors.append(name)
        elif case.find("skipped") is None:
            report.passed.append(name)


def _find_unfit(guard: Guard, unmodified: _Report) -> str:
    """Say why the test proves nothing: it fails, or does not run, with the guard in place."""

    def belongs(name: str) -> bool:
        return guard.test in (name, name.partition("[")[0], name.partition("::")[0])

    if any(map(belongs, [*unmodified.failed, *unmodified.errors])):
        return "The test fails with the guard in place."
    if not any(map(belongs, unmodified.passed)):
        return f"The test does not run (pytest ended with {unmodified.code}): {_last_line(unmodified.output)}"
    return ""


def _judge(guard: Guard, report: _Report) -> Outcome:
    if report.code == 0:
        return Outcome(guard.slug, Verdict.MISSED, f"{guard.test} passes without it")
    message = next(iter(report.failed.values()), "")
    if report.code != 1 or not report.failed or message.startswith(_MISTAKES):
        reason = message.partition("\n")[0] or _last_line(report.output)
        return Outcome(guard.slug, Verdict.BROKEN, f"pytest ended with {report.code} and no failed assertion: {reason}")
    return Outcome(guard.slug, Verdict.NOTICED, next(iter(report.failed)))


def _last_line(output: str) -> str:
    return output.strip().rpartition("\n")[2]
