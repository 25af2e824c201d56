"""Decide which pictures of a message become documents: those that contain text, such as a photographed page.

A logo in a signature, a spacer or a landscape photo is not a failed document; the message only lists it.
"""

from pathlib import Path

from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.ocr.allowance import use_one
from ingest.parsing.ocr.images import convert_to_picture, open_image
from ingest.parsing.ocr.recognizer import is_installed

_MIN_LINE_PIXELS = 15  # Smaller letters are not recognized.
_MIN_PICTURE_LINES = 6  # smaller pictures within a message's text are logos, icons or rules


def explain_no_text(path: Path, *, is_shown: bool) -> str:
    """Return the reason why a picture does not become a document, or an empty string if it does.

    `is_shown` means that the picture is displayed within the message. Raises `RecognitionNeeded` for the first large
    picture if this process may not read pictures.
    """
    if not is_installed():
        return "a picture; text in pictures is not read here"
    try:
        with open_image(path) as image:
            if min(image.size) < _MIN_LINE_PIXELS * (_MIN_PICTURE_LINES if is_shown else 2):
                return "a small picture"
            if not use_one():
                return ""
            from ingest.parsing.ocr.words import recognize_words  # Imported here because it loads the models.

            words = recognize_words(convert_to_picture(image), 1)
    except (DamagedDocumentError, ParserLimitError):
        return ""  # The error is reported on the picture's own document.
    return "" if any(char.isalnum() for word in words for char in word.text) else "a picture without text"
