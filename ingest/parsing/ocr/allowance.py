"""Limit the number of pictures in which this document's process may recognize text.

A process that is allowed to read pictures gets more memory and time.
"""

from dataclasses import dataclass


class RecognitionNeeded(Exception):
    """The document has a picture with text to recognize, but this process may not read any pictures."""


@dataclass
class _Allowance:
    pages: int | None = None
    left_out: int = 0


_allowance = _Allowance()


def set_allowance(pages: int) -> None:
    """Set how many pictures this process may read."""
    _allowance.pages, _allowance.left_out = pages, 0


def use_one() -> bool:
    """Use one picture of the allowance. If none are left, count the picture as skipped and return False.

    Raises `RecognitionNeeded` if this process may not read any pictures.
    """
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
    """Return how many pictures were not read because the allowance was used up."""
    return _allowance.left_out
