"""Decide which pictures in a message become documents: those with text, such as photographed pages.

Other pictures, such as a logo in a signature, a spacer or a landscape photo, are only listed in the message.
"""

from pathlib import Path

from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.ocr.allowance import use_allowed_picture
from ingest.parsing.ocr.images import convert_to_picture, open_image
from ingest.parsing.ocr.recognizer import is_ocr_installed

_MIN_LINE_PIXELS = 15  # Minimum height of a line of text. OCR does not recognize smaller letters.
# Minimum height of a picture displayed in a message, in lines of text. Smaller pictures are logos, icons or rules.
_MIN_PICTURE_LINES = 6


def explain_rejection(path: Path, *, is_displayed: bool) -> str:
    """Return the reason why a picture does not become a document, or an empty string if it does.

    `is_displayed` means that the message displays the picture. Raises `RecognitionNeededError` if the picture is not
    small and this process has no OCR allowance.
    """
    if not is_ocr_installed():
        return "a picture; text in pictures is not read here"
    try:
        with open_image(path) as image:
            if min(image.size) < _MIN_LINE_PIXELS * (_MIN_PICTURE_LINES if is_displayed else 2):
                return "a small picture"
            if not use_allowed_picture():
                return ""
            from ingest.parsing.ocr.words import recognize_words  # Imported here because it loads the models.

            words = recognize_words(convert_to_picture(image), 1)
    except (DamagedDocumentError, ParserLimitError):
        return ""  # The picture becomes a document, whose parser reports the error.
    return "" if any(char.isalnum() for word in words for char in word.text) else "a picture without text"
