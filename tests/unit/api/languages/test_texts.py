import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from jinja2 import Environment

from api.languages.catalogue import DEFAULT, LANGUAGES
from tests.texts import untranslated
from tests.texts.extraction import (
    ROOT,
    extract_texts,
    get_key,
    list_messages,
    list_modules,
    list_templates,
    read_catalogue,
    render_catalogue,
)
from tests.texts.javascript import list_calls, read_tokens

TRANSLATIONS = sorted(set(LANGUAGES) - {DEFAULT})
PYTHON = [*sorted((ROOT / "api/portal").glob("*.py")), ROOT / "api/answers/verdicts.py"]
TRANSLATE_AND_RUN = "run `make texts`, and translate the new texts in api/languages/locales"


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_catalogue_has_exactly_the_texts_of_the_code(language: str) -> None:
    in_code = {get_key(each): each.id for each in list_messages(extract_texts())}
    translated = {get_key(each): each.id for each in list_messages(read_catalogue(language))}
    assert translated == in_code, TRANSLATE_AND_RUN
    assert (ROOT / f"api/languages/locales/{language}.po").read_text() == render_catalogue(language), TRANSLATE_AND_RUN


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_each_text_has_a_translation_with_the_same_values(language: str) -> None:
    messages = list_messages(read_catalogue(language))
    assert messages
    assert [each.id for each in messages if not all(_list_forms(each.string)) or each.fuzzy] == []
    assert [each.id for each in messages if not _has_same_values(each)] == []


@pytest.mark.parametrize("language", TRANSLATIONS)
def test_a_text_about_a_number_is_translated_in_all_of_its_forms(language: str) -> None:
    catalogue = read_catalogue(language)
    counted = [each for each in list_messages(catalogue) if each.pluralizable]
    assert catalogue.num_plurals == 2  # the forms that `tn` of text.js chooses from
    assert [each.id for each in counted if len(_list_forms(each.string)) != catalogue.num_plurals] == []


@pytest.mark.parametrize("path", list_modules(), ids=lambda path: path.name)
def test_a_module_shows_only_texts_of_the_catalogue(path: Path) -> None:
    assert untranslated.find_in_module(path) == []
    if path.name != "text.js":  # which defines the functions
        assert untranslated.find_unreadable_calls(path) == []


@pytest.mark.parametrize("path", list_templates(), ids=lambda path: path.name)
def test_a_template_shows_only_texts_of_the_catalogue(path: Path) -> None:
    assert untranslated.find_in_template(Environment(), path.name, path.read_text()) == []


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: path.name)
def test_the_service_shows_only_texts_of_the_catalogue_in_the_portal(path: Path) -> None:
    assert untranslated.find_in_python(path) == []


@pytest.mark.parametrize(
    "line",
    [
        "el('p', { text: 'No documents yet' })",
        "el('p', { text: 'waiting' })",
        "el('p', { text: many ? 'Documents' : t('Document') })",
        "el('p', { text: `${count} documents` })",
        "el('button', { 'aria-label': 'close' }, icon('x'))",
        "say('Saved')",
        "list.append('nobody')",
        "place.textContent = 'done'",
        "const STATES = { ready: 'Ready' }",
        "const titles = [t('Name'), 'Last used']",
        "el('p', {}, t('Shared by {name}', { name: 'a colleague' }))",
    ],
)
def test_text_outside_the_catalogue_is_found_in_modules(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.js"
    module.write_text(f"// A module\n{line}\n")
    found = untranslated.find_in_module(module)
    assert len(found) == 1
    assert found[0].startswith("module.js:2: ")


@pytest.mark.parametrize(
    "line",
    [
        "el('p', { class: 'small soft', text: t('No documents yet') })",
        "if (event.key === 'Escape') close()",
        "const headers = { 'Content-Type': 'application/json' }",
        "document.querySelector('#rows tr')",
        "say(tn(count, '{n} page', '{n} pages'))",
        "place.append(el('code', { text: 'leadline doctor' }))",
        "el('td', { text: `${before} · ${after}` })",
        "const found = /Not found/.test(`${a ? `x${b}` : ''}`)",
    ],
)
def test_code_and_translated_texts_are_not_found_in_modules(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.js"
    module.write_text(line)
    assert untranslated.find_in_module(module) == []


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("<p>No documents</p>", "No documents"),
        ('<p>{{ t("Name") }} of it</p>', "of it"),
        ('<input placeholder="Name">', "Name"),
        ('<a aria-label="{{ "Close" if open else t("Open") }}"></a>', "Close"),
        ("{% if x %}<b>Yes</b>{% endif %}", "Yes"),
    ],
)
def test_text_outside_the_catalogue_is_found_in_templates(template: str, text: str) -> None:
    assert untranslated.find_in_template(Environment(), "page.html", template) == [f"page.html:1: {text!r}"]


@pytest.mark.parametrize(
    "template",
    [
        '<p>{{ t("No documents") }} · {{ name }}</p>',
        '<input class="Name" placeholder="{{ t(\'Name\') }}">',
        '<body class="{% block page %}Narrow{% endblock %}"><code>leadline doctor</code>{% set x = "Value" %}</body>',
    ],
)
def test_code_and_translated_texts_are_not_found_in_templates(template: str) -> None:
    assert untranslated.find_in_template(Environment(), "page.html", template) == []


def test_text_outside_the_catalogue_is_found_in_python(tmp_path: Path) -> None:
    module = tmp_path / "pages.py"
    module.write_text('"""Pages."""\nrender_page(request, "a.html", "Library")\nrender_page(request, t("Library"))\n')
    assert untranslated.find_in_python(module) == ["pages.py:2: 'Library'"]


def test_calls_within_the_values_of_other_calls_and_of_template_strings_are_extracted() -> None:
    source = "x = `${`${t('One')}`} ${t('Two {a}', { a: tn(n, '{n} b', '{n} c') })}`; y = a / b / t('Three')"
    called = [strings for _, _, strings in list_calls(read_tokens(source))]
    assert called == [["One"], ["Two {a}"], ["{n} b", "{n} c"], ["Three"]]


def test_a_call_whose_text_is_no_plain_string_cannot_be_extracted(tmp_path: Path) -> None:
    module = tmp_path / "module.js"
    module.write_text("t(`Shared by ${name}`)\nt('Shared' + name)\nt('Shared')\n")
    assert untranslated.find_unreadable_calls(module) == ["module.js:1: t()", "module.js:2: t()"]


def _has_same_values(message: Message) -> bool:
    english, translated = _list_forms(message.id), _list_forms(message.string)
    # Only the text about one thing may name the number in words.
    return {_list_values(each) for each in translated} <= {_list_values(each) for each in english}


def _list_forms(text: str | Sequence[str] | None) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text or ("",))


def _list_values(text: str) -> tuple[str, ...]:
    return tuple(sorted(re.findall(r"\{(\w+)\}", text)))
