"""All texts of the bot are in the catalogue, and complete in German."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

import api.slack

_SLACK = Path(api.slack.__file__).parent
_API = _SLACK.parent
_KEYWORDS = {"translate": None, "translate_count": (2, 3)}
_PLACEHOLDER = re.compile(r"\{\w+\}")


def extracted() -> set[str | tuple[str, ...]]:
    """The texts of the bot, and those of the line that says how an answer was checked."""
    methods = [("slack/**.py", "python"), ("answers/verdicts.py", "python")]
    return {text for _, _, text, _, _ in extract_from_dir(_API, method_map=methods, keywords=_KEYWORDS)}


def german() -> Catalog:
    with (_API / "languages" / "locales" / "de.po").open("rb") as source:
        return read_po(source, locale="de")


def calls() -> Iterator[tuple[str, list[ast.expr]]]:
    """The place of each translation, and the expressions of its texts."""
    for path in _SLACK.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                place = f"{path.name}:{node.lineno}"
                if node.func.attr == "translate" and not _is_table(node):
                    yield place, node.args
                elif node.func.attr == "translate_count":
                    yield place, node.args[1:]


def _is_table(call: ast.Call) -> bool:
    """True for `str.translate`, which takes a table of characters."""
    return len(call.args) == 1 and isinstance(call.args[0], ast.Name) and call.args[0].id.isupper()


def test_every_text_is_a_literal_that_is_extracted() -> None:
    found = extracted()
    for place, arguments in calls():
        texts = [each.value for each in arguments if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        assert len(texts) == len(arguments), f"{place}: a text is not a literal"
        assert (texts[0] if len(texts) == 1 else tuple(texts)) in found, f"{place}: a text is not extracted"


def test_every_text_is_in_german_with_the_same_values() -> None:
    catalogue = german()
    for text in extracted():
        one, *many = [text] if isinstance(text, str) else text
        message = catalogue.get(one)
        assert message is not None, one
        forms = [message.string] if isinstance(message.string, str) else list(message.string or ())
        assert len(forms) == 1 + len(many), one
        for original, form in zip([one, *many], forms, strict=True):
            assert sorted(_PLACEHOLDER.findall(form)) == sorted(_PLACEHOLDER.findall(original)), form


def test_no_sentence_is_written_without_the_catalogue() -> None:
    """What people read are mrkdwn and plain text: neither is built from a literal with words in it."""
    builders = {
        "build_mrkdwn",
        "build_text",
        "_build_text",
        "build_section_block",
        "build_context_block",
        "build_button",
    }
    for path in _SLACK.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in builders:
                first = node.args[0]
                parts = first.values if isinstance(first, ast.JoinedStr) else [first]
                words = [str(each.value) for each in parts if isinstance(each, ast.Constant)]
                assert not re.search(r"[a-z]{2}", "".join(words).replace("Leadline", "")), f"{path.name}:{node.lineno}"
