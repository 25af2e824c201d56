"""Recognize the words of a page in its picture."""

from ingest.parsing.ocr.recognizer import Picture, get_recognizer
from ingest.parsing.pdf.content import RecognizedWord
from ingest.storage.texts.positions import Box


def recognize_words(picture: Picture, page_number: int) -> list[RecognizedWord]:
    """Recognize the words in the picture of page `page_number`."""
    return [
        RecognizedWord(word.text, Box(page_number, word.left, word.top, word.right, word.bottom), word.turn)
        for word in get_recognizer().iter_words(picture)
        if word.left < word.right and word.top < word.bottom
    ]
