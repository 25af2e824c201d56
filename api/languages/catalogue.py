"""Translates texts. The English text is the key of its translation, as in GNU gettext.

`locales/LANGUAGE.po` contains the translations into a language. Texts contain their values as `{name}`. Texts of
remarks are found by their codes (`ingest.storage.remarks`). Descriptions of settings are long, so a script of its own
gives them to the only page that shows them.
"""

import gettext
import json
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from importlib.resources import files
from io import BytesIO
from typing import Any

from babel import negotiate_locale
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from ingest.storage.remarks import REMARKS

LANGUAGES = {"en": "English", "de": "Deutsch"}
"""The languages that people can choose, with the name of each in the language itself."""

DEFAULT = "en"
COOKIE = "leadline-language"
_REMARKS_FILE = "ingest/storage/remarks.py"
_SETTINGS_FILE = "api/settings/describe.py"


class Texts:
    """The texts in one language.

    Args:
        language: a key of `LANGUAGES`. Other languages get English texts.
    """

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT
        self._messages = _load_messages(self.language)

    def translate(self, text: str, **values: object) -> str:
        """Translate a text, and put the values in the places of their names in braces."""
        return _fill(self._messages.gettext(text), values)

    def translate_count(self, count: int, one: str, many: str, **values: object) -> str:
        """Translate a text about a number of things; `{n}` in the text stands for the number."""
        return _fill(self._messages.ngettext(one, many, count), {"n": count, **values})

    def translate_remark(self, remark: Mapping[str, Any] | None, text: str) -> str:
        """Return a remark of an answer in the language, or its English `text` if its code is not known.

        Args:
            remark: the code and the values of the remark, or None if it has no code.
        """
        forms = REMARKS.get(remark["code"]) if remark else None
        if remark is None or forms is None or self.language == DEFAULT:
            return text
        values = {name: self._format_value(value) for name, value in remark["values"].items()}
        if isinstance(forms, str):
            return self.translate(forms, **values)
        return self.translate_count(remark["values"]["n"], *forms, **values)

    def format_number(self, number: float) -> str:
        """Format a number in the language: "2,000" in English, "2.000" in German."""
        return str(format_decimal(number, locale=self.language))

    def _format_value(self, value: Any) -> str:  # noqa: ANN401 - any JSON
        match value:
            case {"text": text}:
                return self.translate_remark(value, text)
            case list():
                return ", ".join(map(self._format_value, value))
            case int() | float():
                return self.format_number(value)
        return str(value)

    def build_script(self, modules: Collection[str]) -> str:
        """Return a script that gives the texts of the language to these modules of the portal.

        It sets `leadlineTexts`: the translation of each English text in a module; for a text about a number, the list
        of its forms, by the English text about one thing. `leadlineRemarks` has the texts of remarks by their codes. It
        is left out in English, because the API's own texts are English.
        """
        texts: dict[str, str | list[str]] = {}
        of_remarks: dict[str, str | list[str]] = {}
        for key, forms, files_of_text in self._iter_translations():
            if _REMARKS_FILE in files_of_text:
                of_remarks[key] = forms
            if any(each.rpartition("/")[2] in modules for each in files_of_text):
                texts[key] = forms
        script = f"globalThis.leadlineTexts = {json.dumps(texts, ensure_ascii=False)}\n"
        if self.language == DEFAULT:
            return script
        remarks = {code: of_remarks[text if isinstance(text, str) else text[0]] for code, text in REMARKS.items()}
        return f"{script}globalThis.leadlineRemarks = {json.dumps(remarks, ensure_ascii=False)}\n"

    def build_settings_script(self) -> str:
        """Return a script that sets `leadlineSettings`: the translation of each English description of a setting."""
        found = {
            key: forms for key, forms, files_of_text in self._iter_translations() if _SETTINGS_FILE in files_of_text
        }
        return f"globalThis.leadlineSettings = {json.dumps(found, ensure_ascii=False)}\n"

    def _iter_translations(self) -> Iterator[tuple[str, str | list[str], set[str]]]:
        """Yield each English text with its forms in the language, and the files that contain it."""
        for message in _read_catalogue(self.language):
            if message.id and message.string:
                key = message.id if isinstance(message.id, str) else message.id[0]
                forms = message.string if isinstance(message.string, str) else list(message.string)
                yield key, forms, {name for name, _ in message.locations}


def choose_language(chosen: str | None, accepted: str | None) -> str:
    """Return the language to use.

    Args:
        chosen: the language that the person has chosen in the portal, or None.
        accepted: the value of the header `Accept-Language`, or None (RFC 9110, section 12.5.4).
    """
    if chosen in LANGUAGES:
        return chosen
    return negotiate_locale(_parse_accepted(accepted or ""), list(LANGUAGES), sep="-") or DEFAULT


def _parse_accepted(header: str) -> list[str]:
    weighted = []
    for part in header.split(",")[:20]:
        language, _, parameter = part.strip().partition(";")
        name, _, weight = parameter.strip().partition("=")
        try:
            quality = float(weight) if name.strip() == "q" else 1.0
        except ValueError:
            quality = 0.0
        if quality > 0 and language:
            weighted.append((quality, language.strip()))
    return [language for _, language in sorted(weighted, key=lambda each: -each[0])]


def _fill(text: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


@cache
def _load_messages(language: str) -> gettext.NullTranslations:
    if language == DEFAULT:
        return gettext.NullTranslations()
    compiled = BytesIO()
    write_mo(compiled, _read_catalogue(language))
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


@cache
def _read_catalogue(language: str) -> Any:  # noqa: ANN401 - Babel's catalogue
    if language == DEFAULT:
        return ()
    with (files("api.languages") / "locales" / f"{language}.po").open("rb") as source:
        return read_po(source, locale=language)
