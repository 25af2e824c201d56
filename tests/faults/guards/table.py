"""The table of guards: what each protects, what replaces it, and the test that must notice."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parents[1] / "guards.toml"


@dataclass(frozen=True)
class Guard:
    """A row of `guards.toml`. A mark with its slug stands above the guarded code, so the row needs no path.

    `replacement` takes the place of that code; an empty one removes it. `test` is a pytest node id, and `options` are
    further arguments of pytest. With `lines`, the mark covers that many lines; with `skip`, it covers code that begins
    that many lines further down.
    """

    slug: str
    purpose: str
    replacement: str
    test: str
    options: str = ""
    lines: int | None = None
    skip: int = 0

    @property
    def test_file(self) -> str:
        return self.test.partition("::")[0]

    @property
    def test_name(self) -> str:
        """The name of the test function without its parameters, or "" where every test of the file counts."""
        return self.test.partition("::")[2].rpartition("::")[2].partition("[")[0]


def parse_guards(table: str) -> tuple[Guard, ...]:
    """Parse rows of TOML, in their order. Raises `TypeError` for an unknown or missing key."""
    return tuple(Guard(slug=slug, **row) for slug, row in tomllib.loads(table).items())


def load_guards() -> tuple[Guard, ...]:
    return parse_guards(TABLE.read_text("utf-8"))
