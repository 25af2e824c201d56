"""How many pictures this document's process may read: it gets more memory and time if it may read any."""

from dataclasses import dataclass


class RecognitionNeeded(Exception):
    """There is a picture to read, and this process may not."""


@dataclass
class _Allowance:
    pages: int | None = None
    left_out: int = 0


_allowance = _Allowance()


def set_allowance(pages: int) -> None:
    """Let this process read so many pictures."""
    _allowance.pages, _allowance.left_out = pages, 0


def use_one() -> bool:
    """Take one picture of the allowance; False if none is left, which is counted. Raises `RecognitionNeeded`."""
    if _allowance.pages is None:
        # guard: ocr-own-process
        raise RecognitionNeeded
    # guard: ocr-page-limit
    if _allowance.pages <= 0:
        _allowance.left_out += 1
        return False
    _allowance.pages -= 1
    return True


def count_skipped() -> int:
    """Return how many pictures were not read, because none was left of the allowance."""
    return _allowance.left_out
