"""Finds the texts that the portal and the Slack bot translate, and writes them into the catalogues.

The order is that of the files and lines, so that a catalogue changes only where texts change.
"""

from collections.abc import Collection, Generator, Mapping
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract
from pydantic_settings import BaseSettings

from api.settings.settings import Settings
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.remarks import REMARKS
from tests.surface.settings import variable_of
from tests.texts.javascript import list_calls, read_tokens
from workers.settings import ClusterSettings

ROOT = Path(__file__).parents[2]
LOCALES = ROOT / "api/languages/locales"
ASSETS, TEMPLATES = ROOT / "api/portal/assets", ROOT / "api/portal/templates"
FOREIGN = ("temml.js",)
"""Modules of others."""
SETTINGS: tuple[type[BaseSettings], ...] = (Settings, ClusterSettings)
"""The classes of settings that the page "Settings" shows. The first class describes a setting that several have."""
_HEADER = """\
# Translations of the portal and the Slack bot. `make texts` adds new texts, and removes those that the code lost.
msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Language: {language}\\n"
"Plural-Forms: {plural_forms}\\n"

"""
# `t` is short for `translate` where one function translates many texts.
_PYTHON = {"translate": None, "translate_count": (2, 3), "t": None, "tn": (2, 3)}
_JINJA = {"t": None, "tn": (2, 3)}


def list_modules() -> list[Path]:
    """Return the JavaScript modules of the portal."""
    return [each for each in sorted(ASSETS.glob("*.js")) if each.name not in FOREIGN]


def list_templates() -> list[Path]:
    """Return the templates of the portal."""
    return sorted(TEMPLATES.glob("*.html"))


def extract_texts() -> Catalog:
    """Return the texts in the code, each with the files that contain it."""
    catalogue = Catalog()
    python = sorted(each for each in (ROOT / "api").rglob("*.py") if each.parent != LOCALES.parent)
    for method, keywords, files in (
        (_extract_javascript, {"t": None, "tn": (1, 2), "tp": None}, list_modules()),
        (babel_extract, _JINJA, list_templates()),
        ("python", _PYTHON, python),
    ):
        for path in files:
            with path.open("rb") as source:
                for _, text, _, _ in extract(method, source, keywords=keywords, options={"encoding": "utf-8"}):  # type: ignore[arg-type] # Babel's stubs know only names of methods
                    _add(catalogue, text, path)
    for forms in REMARKS.values():
        _add(catalogue, forms, ROOT / "ingest/storage/remarks.py")
    for text in list_descriptions_of_settings():
        _add(catalogue, text, ROOT / "api/settings/describe.py")
    for text in list_texts_of_sources():  # which this module shows
        _add(catalogue, text, ASSETS / "source_form.js")
    return catalogue


def list_texts_of_sources() -> list[str]:
    """Return the names of the kinds of sources, and the titles, descriptions and choices of their options."""
    found: list[str] = []
    for kind in SOURCE_KINDS.values():
        schema = kind.options.model_json_schema()
        found.append(schema["title"])
        for option in schema["properties"].values():
            found += [option["title"], option["description"], *option.get("labels", {}).values()]
    return list(dict.fromkeys(found))


def list_descriptions_of_settings() -> list[str]:
    """Return the descriptions on the page "Settings", which are those of the fields of the settings' classes."""
    described: dict[str, str] = {}
    for kind in SETTINGS:
        for name, field in kind.model_fields.items():
            described.setdefault(variable_of(kind, name), str(field.description).strip())
    return list(dict.fromkeys(described.values()))


def read_catalogue(language: str) -> Catalog:
    """Return the translations into a language."""
    with (LOCALES / f"{language}.po").open("rb") as source:
        return read_po(source, locale=language)


def render_catalogue(language: str) -> str:
    """Return the content of a catalogue: the texts of the code, with the translations that it already has."""
    old, new = read_catalogue(language), extract_texts()
    new.locale = old.locale
    for message in list_messages(new):
        known = old.get(get_key(message))
        if known and known.pluralizable == message.pluralizable:
            message.string = known.string
    written = BytesIO()
    write_po(written, new, width=120, omit_header=True, include_lineno=False)
    return _HEADER.format(language=language, plural_forms=old.plural_forms) + written.getvalue().decode()


def list_messages(catalogue: Catalog) -> list[Message]:
    """Return the messages without the header."""
    return [each for each in catalogue if each.id]


def get_key(message: Message) -> str:
    """Return the English text, or the text about one thing."""
    return message.id if isinstance(message.id, str) else message.id[0]


def _add(catalogue: Catalog, text: str | tuple[str, ...], path: Path) -> None:
    location = [(str(path.relative_to(ROOT)), 1)]
    known = catalogue.get(text) if isinstance(text, str) else None
    # The text about one thing may be used alone, too.
    catalogue.add(known.id if known and known.pluralizable else text, locations=location)


def _extract_javascript(
    source: IO[bytes], keywords: Mapping[str, Any], comment_tags: Collection[str], options: Mapping[str, Any]
) -> Generator[tuple[int, str, str | tuple[str, ...], list[str]]]:
    """Return the calls in a module, as Babel's methods of extraction do."""
    for _, name, strings in list_calls(read_tokens(source.read().decode()), tuple(keywords)):
        if strings:
            yield name.line, name.text, tuple(strings) if len(strings) > 1 else strings[0], []
