"""Detect a document's language, for stemming. Each document has one language, which is English if none is certain."""

import threading
from enum import StrEnum
from typing import Any

# Number of characters at the beginning of a text that are used to detect its language. A text with fewer letters than
# the minimum (a table, codes, names) is too short to detect its language.
SAMPLE_CHARS = 8_000
_MIN_LETTERS = 100


class Language(StrEnum):
    """The languages for which the engine has a Snowball stemmer and stop words, named as in the engine."""

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


# Languages by ISO 639-1 code. Norwegian has three codes.
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
    """Detect a text's language from its first 8,000 characters.

    Returns English if the text is too short or its language has no stemmer. The result is deterministic, because a
    rebuilt index must match the previous index.
    """
    return get_language(detect_language_code(text))


def detect_language_code(text: str) -> str | None:
    """Detect the ISO 639-1 code of a text's language from its first 8,000 characters.

    Returns None if the text is too short.
    """
    return None if sum(map(str.isalpha, text[:SAMPLE_CHARS])) < _MIN_LETTERS else guess_language_code(text)


def guess_language_code(text: str) -> str:
    """Return the most likely ISO 639-1 code of a text's language. The language of a short text may be another one."""
    code: str = _load_identifier().classify(text[:SAMPLE_CHARS])[0]
    return code


def get_language(code: str | None) -> Language:
    """Return the language with this ISO 639-1 code, or English if there is no stemmer for it."""
    return _LANGUAGES_BY_CODE.get(code or "", Language.ENGLISH)


def preload_language_model() -> None:
    """Load the model now, so that child processes forked later share its memory."""
    _load_identifier()


def _load_identifier() -> Any:  # noqa: ANN401 - the library has no types
    """Return the library's model, which is loaded on first use because loading it takes a second."""
    global _identifier
    with _lock:
        if _identifier is None:
            from py3langid.langid import MODEL_FILE, LanguageIdentifier

            _identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
        return _identifier
