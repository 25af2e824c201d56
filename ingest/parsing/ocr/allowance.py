"""Limit the number of pictures in which the process of a document may recognize text.

A process with an allowance gets more memory and time.
"""

from dataclasses import dataclass


class RecognitionNeededError(Exception):
    """The document has a picture that needs OCR, but this process has no allowance."""


@dataclass
class _Allowance:
    pages: int | None = None
    left_out: int = 0


_allowance = _Allowance()


def set_picture_allowance(max_pictures: int) -> None:
    """Set the number of pictures in which this process may recognize text."""
    _allowance.pages, _allowance.left_out = max_pictures, 0


def use_allowed_picture() -> bool:
    """Use one picture of the allowance, or count the picture as skipped and return False if none is left.

    Raises `RecognitionNeededError` if this process has no allowance.
    """
    if _allowance.pages is None:
        # guard: ocr-own-process
        raise RecognitionNeededError
    # guard: ocr-page-limit
    if _allowance.pages <= 0:
        _allowance.left_out += 1
        return False
    _allowance.pages -= 1
    return True


def count_skipped_pictures() -> int:
    """Return the number of pictures that were skipped because the allowance was used up."""
    return _allowance.left_out
