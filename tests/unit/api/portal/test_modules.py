"""The texts that a page gets are those of all modules that it loads."""

import re

import pytest

from api.portal.modules import is_module, list_page_modules
from tests.texts.extraction import ASSETS, TEMPLATES

_ENTRY = re.compile(r"set page_module = (.+?) %}")
_MODULE = re.compile(r"assets }}/(?:{{ )?(.+?)(?: }})?\.js")


@pytest.mark.parametrize("template", sorted(each.name for each in TEMPLATES.glob("*.html") if each.name != "base.html"))
def test_a_page_asks_for_the_texts_of_its_own_module(template: str) -> None:
    page = (TEMPLATES / template).read_text()
    assert [each.strip('"') for each in _ENTRY.findall(page)] == _MODULE.findall(page)


def test_modules_that_are_loaded_later_or_by_others_belong_to_a_page() -> None:
    modules = list_page_modules("ask")
    assert {"ask.js", "shell.js", "text.js", "attachments.js", "formulas.js"} <= modules
    assert "slack.js" not in modules
    assert all((ASSETS / each).is_file() for each in modules)


@pytest.mark.parametrize("name", ["unknown", "../pages", "", "ask.js"])
def test_only_names_of_modules_are_pages(name: str) -> None:
    assert is_module("ask")
    assert not is_module(name)
