"""Books that nobody wrote: seeded prose with chapters, long enough to be in the middle of when something dies."""

import random
from pathlib import Path

_WORDS = (
    *("anchor", "ballast", "captain", "deck", "ebb", "fathom", "galley", "harbour", "island", "jib", "keel"),
    *("lantern", "mast", "narwhal", "oar", "pilot", "quay", "rigging", "sail", "tide", "vessel", "whale"),
    *("cold", "grey", "slow", "bright", "distant", "heavy", "sudden", "narrow"),
)


def book(seed: int, *, chapters: int = 10, sentences: int = 150) -> str:
    """Markdown; the same seed gives the same book."""
    source = random.Random(seed)
    parts = [f"# Book {seed}"]
    for chapter in range(1, chapters + 1):
        parts.append(f"## Chapter {chapter}")
        parts += [" ".join(_sentence(source) for _ in range(5)) for _ in range(sentences // 5)]
    return "\n\n".join(parts) + "\n"


def shelf(folder: Path, count: int, **size: int) -> Path:
    """A folder of that many books."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"book-{number}.md").write_text(book(number, **size))
    return folder


def _sentence(source: random.Random) -> str:
    words = [source.choice(_WORDS) for _ in range(source.randint(6, 16))]
    return " ".join(words).capitalize() + f" {source.randint(1, 999)}."
