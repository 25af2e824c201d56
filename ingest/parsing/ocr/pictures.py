"""Tells which pictures of a message are worth a document: those with text, as a photographed page or a screenshot.

A logo below a signature, a spacer, or a photo of a landscape is no document that failed; a message lists them.
"""

from pathlib import Path

from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.ocr.allowance import use_one
from ingest.parsing.ocr.images import convert_to_picture, open_image
from ingest.parsing.ocr.recognizer import is_installed

_MIN_LINE_PIXELS = 15  # letters that are lower are not recognized
_MIN_PICTURE_LINES = 6  # what a message shows among its words and is lower: a logo, an icon, a rule


def explain_no_text(path: Path, *, is_shown: bool) -> str:
    """Say why a picture is no document; nothing for one that is. `is_shown` if the message shows it among its words.

    Raises `RecognitionNeeded` at the first large picture in a process that may not read any.
    """
    if not is_installed():
        return "a picture; text in pictures is not read here"
    try:
        with open_image(path) as image:
            if min(image.size) < _MIN_LINE_PIXELS * (_MIN_PICTURE_LINES if is_shown else 2):
                return "a small picture"
            if not use_one():
                return ""
            from ingest.parsing.ocr.words import recognize_words  # only here: it loads the models

            words = recognize_words(convert_to_picture(image), 1)
    except (DamagedDocumentError, ParserLimitError):
        return ""  # its document says so
    return "" if any(char.isalnum() for word in words for char in word.text) else "a picture without text"
