"""Recognize the words of a page in its picture."""

from ingest.parsing.ocr.recognizer import Picture, get_recognizer
from ingest.parsing.pdf.content import RecognizedWord
from ingest.storage.texts.positions import Box


def recognize_words(picture: Picture, number: int) -> list[RecognizedWord]:
    """Recognize the words in the picture of page `number`."""
    return [
        RecognizedWord(word.text, Box(number, word.left, word.top, word.right, word.bottom), word.turn)
        for word in get_recognizer().iter_words(picture)
        if word.left < word.right and word.top < word.bottom
    ]
