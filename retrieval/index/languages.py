"""The language of a document, for the stemming of its words: one language a document, English where none is certain."""

import threading
from enum import StrEnum
from typing import Any

# A text's beginning is enough to know its language, and shorter texts (tables, codes, names) are no evidence.
SAMPLE_CHARS = 8_000
_MIN_LETTERS = 100


class Language(StrEnum):
    """The languages that the engine has a Snowball stemmer and stop words for, by its names for them."""

    ENGLISH = "english"
    ARABIC = "arabic"
    DANISH = "danish"
    DUTCH = "dutch"
    FINNISH = "finnish"
    FRENCH = "french"
    GERMAN = "german"
    GREEK = "greek"
    HUNGARIAN = "hungarian"
    ITALIAN = "italian"
    NORWEGIAN = "norwegian"
    PORTUGUESE = "portuguese"
    ROMANIAN = "romanian"
    RUSSIAN = "russian"
    SPANISH = "spanish"
    SWEDISH = "swedish"
    TURKISH = "turkish"


# ISO 639-1; Norwegian has three codes.
_LANGUAGES_BY_CODE = {
    "ar": Language.ARABIC,
    "da": Language.DANISH,
    "de": Language.GERMAN,
    "el": Language.GREEK,
    "es": Language.SPANISH,
    "fi": Language.FINNISH,
    "fr": Language.FRENCH,
    "hu": Language.HUNGARIAN,
    "it": Language.ITALIAN,
    "nb": Language.NORWEGIAN,
    "nl": Language.DUTCH,
    "nn": Language.NORWEGIAN,
    "no": Language.NORWEGIAN,
    "pt": Language.PORTUGUESE,
    "ro": Language.ROMANIAN,
    "ru": Language.RUSSIAN,
    "sv": Language.SWEDISH,
    "tr": Language.TURKISH,
}
_lock = threading.Lock()
_identifier: Any = None


def detect_language(text: str) -> Language:
    """Return the language of a text by its first `SAMPLE_CHARS`; English if it is short, or has no stemmer.

    The same text has the same language in every process, since an index that is built again has to agree.
    """
    sample = text[:SAMPLE_CHARS]
    if sum(map(str.isalpha, sample)) < _MIN_LETTERS:
        return Language.ENGLISH
    code, _ = _load_identifier().classify(sample)
    return _LANGUAGES_BY_CODE.get(code, Language.ENGLISH)


def preload_model() -> None:
    """Unpack the model now, so that processes which are forked later share its memory."""
    _load_identifier()


def _load_identifier() -> Any:  # noqa: ANN401 - the library has no types
    """Return the library's model, which takes a second to unpack, and so only when a document is there."""
    global _identifier
    with _lock:
        if _identifier is None:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier

            _identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
        return _identifier
