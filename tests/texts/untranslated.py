"""Finds texts that people see and that no function translates, in modules, templates and Python."""

import ast
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from jinja2 import Environment, nodes

from tests.texts.extraction import ASSETS
from tests.texts.javascript import Token, list_calls, read_tokens

SHOWN_ATTRIBUTES = ("title", "placeholder", "aria-label", "alt", "label", "data-label", "data-tip", "aria-description")
_SHOWN_PROPERTIES = (*SHOWN_ATTRIBUTES, "text", "textContent", "hint", "caption", "message", "ariaLabel", "empty")
_UNSEEN_PROPERTIES = ("class", "type", "role", "id", "dir", "href", "rel", "target", "lang", "font", "style")
_SHOWING_FUNCTIONS = ("say", "notice", "confirmed", "append", "prepend", "replaceChildren", "before", "after", "alert")
# What follows these is compared, looked up or named, and is not shown.
_COMPARING = ("===", "!==", "case", "in")
_LOOKING_UP = {
    *(
        "get",
        "set",
        "has",
        "add",
        "remove",
        "toggle",
        "contains",
        "includes",
        "startsWith",
        "endsWith",
        "split",
        "join",
    ),
    *("replace", "replaceAll", "closest", "matches", "querySelector", "querySelectorAll", "getElementById", "$"),
    *("createElement", "createElementNS", "el", "icon", "setAttribute", "getAttribute", "removeAttribute"),
    *("toggleAttribute", "addEventListener", "dispatchEvent", "Event", "CustomEvent", "Error"),
    *("setRequestHeader", "getResponseHeader"),
}
_SENTENCE = re.compile(r"[A-Z][a-z]+|[A-Za-z]+[,:]? [A-Za-z]{2,}|\{\} [a-z]{2,}|[a-z]{2,}[,:]? \{\}")
_HEADER_NAME = re.compile(r"[A-Z][a-z]+(-[A-Z][a-z]+)+")
_NO_TEXT = re.compile(
    r"(https?://|[#.<]|/v1/)\S*.*|[a-z]+(, ?[a-z\[\]]+)+|[a-z]+/[a-z-]+|LEADLINE_\w+", re.DOTALL
)  # addresses, selectors, types
_LETTERS = re.compile(r"[^\W\d_]{2}")

NAMES = {
    *("Markdown", "JSON", "JSON Lines", "GeoJSON", "Word (DOC)", "Excel (XLS)", "PowerPoint (PPT)", "Word", "Excel"),
    *("PowerPoint", "JavaScript", "TypeScript", "Go", "Java", "Python", "Rust", "PDF", "CSV", "HTML", "Slack"),
    *("Leadline", "· Leadline", "{} · Leadline"),
}
"""Names of products and formats, the same in all languages."""
API = {
    "running headers and footers after the first, and page numbers",
    "navigation, banners, footers and other parts around the content",
    "headers and footers",
    "This sentence cites nothing, so it could not be checked.",
    "This sentence cites nothing, because no passage can show what the documents do not say.",
    "[withheld: based on a document that was deleted or replaced]",
    "[withheld: based on a document that you cannot access]",
    "The words that the model quoted for this sentence are not in the passage.",
    "Code computed this from values that the model read in the records.",
    "The cited passage does not say this.",
    "This is about all of the documents",
    "A passage that was read says it after all.",
    *(
        "read ask",
        "read ask write",
        "read ask write admin",
        "None",
        "partly proven",
        "not proven",
        "light dark",
        "default",
    ),
}
"""Values of the API and of the page's own markup, which the portal compares and does not show."""
CODE = {
    *("leadline quotas set tokens_per_day=2m", "leadline slack link", "leadline doctor", "Location"),
    *("document:…", "group:hr\nuser:ann"),
    *("http://127.0.0.1:11434/v1 qwen3:8b", "api.slack.com/apps", "/invite @Leadline"),
}
"""Commands, settings, headers, and what else has the same name in all languages."""


def find_in_module(path: Path) -> list[str]:
    """Return the untranslated texts of a JavaScript module, each with its line."""
    tokens = read_tokens(path.read_text())
    translated = set(_list_translated(tokens))
    arguments, looked_up = _find_shown_arguments(tokens), _find_looked_up(tokens)
    unseen = _find_values_of(tokens, _UNSEEN_PROPERTIES) | looked_up | _find_keys(tokens)
    shown = (_find_values_of(tokens, _SHOWN_PROPERTIES) | arguments) - unseen
    classes, allowed = _read_classes(), NAMES | CODE | API
    found = []
    for position, token in enumerate(tokens):
        if token.kind not in ("string", "template") or position in translated or token.text in allowed:
            continue
        is_class = all(word in classes or word == "{}" for word in token.text.split())
        if position in shown and not (is_class and position in arguments):
            is_text = _is_shown_text(tokens, position, is_argument=position in arguments)
        else:
            is_text = _SENTENCE.search(token.text) is not None and not (is_class or position in unseen)
        if is_text and not _HEADER_NAME.fullmatch(token.text) and not _NO_TEXT.fullmatch(token.text):
            found.append(f"{path.name}:{token.line}: {token.text!r}")
    return found


def find_in_template(environment: Environment, name: str, source: str) -> list[str]:
    """Return the untranslated texts of a template, each with its line."""
    reader = _TemplateReader(name, environment)
    reader.feed(_read_html(environment, source))
    reader.close()
    return reader.found


def find_in_python(path: Path) -> list[str]:
    """Return the untranslated texts of a Python module, each with its line.

    Errors are not texts of the portal: it has its own text for each error code.
    """
    found: list[str] = []
    tree = ast.parse(path.read_text())
    skipped = {id(each) for node in ast.walk(tree) for each in _list_unseen(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            is_text = re.search(r"[A-Za-z]{2,} [a-z]{2,}|^[A-Z][a-z]+$", node.value) and node.value[0] != "<"
            if is_text and node.value not in NAMES:
                found.append(f"{path.name}:{node.lineno}: {node.value!r}")
    return found


def find_unreadable_calls(path: Path) -> list[str]:
    """Return calls of translating functions whose texts are no plain strings, so that nothing can extract them."""
    found = []
    for _, name, strings in list_calls(read_tokens(path.read_text())):
        if len(strings) != (2 if name.text == "tn" else 1):
            found.append(f"{path.name}:{name.line}: {name.text}({', '.join(strings)})")
    return found


def _list_translated(tokens: list[Token]) -> Iterator[int]:
    for position, _, strings in list_calls(tokens):
        for index in range(position + 2, _find_end(tokens, position + 1)):
            if tokens[index].kind == "string" and tokens[index].text in strings:
                yield index


def _find_shown_arguments(tokens: list[Token]) -> set[int]:
    """Return the indices of tokens that are arguments of functions that show them."""
    return {
        index
        for position, token in enumerate(tokens[:-1])
        if token.text in _SHOWING_FUNCTIONS and token.kind == "name" and _is_operator(tokens[position + 1], "(")
        for index in _list_direct_arguments(tokens, position + 1)
    }


def _is_shown_text(tokens: list[Token], position: int, *, is_argument: bool) -> bool:
    """Return whether the string of a shown value is text. A single word may be the name of a member or of a state."""
    text = tokens[position].text.replace("{}", "")
    is_value = is_argument or tokens[position - 1].text in (":", "=", "?", "??", "||")
    return bool(_LETTERS.search(text)) and (is_value or bool(_SENTENCE.search(tokens[position].text)))


def _find_keys(tokens: list[Token]) -> set[int]:
    """Return the indices of strings that are keys of properties."""
    return {
        position
        for position in range(1, len(tokens) - 1)
        if tokens[position].kind == "string"
        and _is_operator(tokens[position + 1], ":")
        and not _is_operator(tokens[position - 1], "?")
    }


def _find_values_of(tokens: list[Token], names: tuple[str, ...]) -> set[int]:
    """Return the indices of the tokens in the values of properties, and in assignments to them."""
    found = set()
    for position, token in enumerate(tokens[:-1]):
        if token.text in names and token.kind in ("name", "string") and tokens[position + 1].text in (":", "="):
            depth = 0
            for index in range(position + 2, len(tokens)):
                value = tokens[index].text if tokens[index].kind == "operator" else ""
                depth += (value in ("(", "[", "{")) - (value in (")", "]", "}"))
                is_next_statement = not depth and tokens[position + 1].text == "=" and tokens[index].line > token.line
                if depth < 0 or (not depth and value in (",", ";")) or is_next_statement:
                    break
                found.add(index)
    return found


def _find_looked_up(tokens: list[Token]) -> set[int]:
    """Return the indices of tokens that are arguments of functions that look something up, or that are compared."""
    found = set()
    for position, token in enumerate(tokens[:-1]):
        if token.text in _LOOKING_UP and token.kind == "name" and _is_operator(tokens[position + 1], "("):
            found |= set(_list_direct_arguments(tokens, position + 1))
        if token.text in _COMPARING:
            found.add(position + 1)
        if tokens[position + 1].text in _COMPARING:
            found.add(position)
        if _is_operator(token, "[") and position and tokens[position - 1].kind == "name":
            found.add(position + 1)
    return found


def _list_direct_arguments(tokens: list[Token], opening: int) -> Iterator[int]:
    """Return the indices of the tokens of a call that are in no other call."""
    depth = 0
    for index in range(opening, _find_end(tokens, opening)):
        value = tokens[index].text if tokens[index].kind == "operator" else ""
        if depth == 1 and tokens[index].kind in ("string", "template"):
            yield index
        depth += (value in ("(", "[", "{")) - (value in (")", "]", "}"))


def _find_end(tokens: list[Token], opening: int) -> int:
    depth = 0
    for index in range(opening, len(tokens)):
        value = tokens[index].text if tokens[index].kind == "operator" else ""
        depth += (value in ("(", "[", "{")) - (value in (")", "]", "}"))
        if not depth:
            return index
    return len(tokens)


def _is_operator(token: Token, text: str) -> bool:
    return token.kind == "operator" and token.text == text


def _read_classes() -> set[str]:
    return {name for sheet in ASSETS.glob("*.css") for name in re.findall(r"\.([\w-]+)", sheet.read_text())}


# What stands around an expression in the HTML of a template: a character that no template contains.
_EDGE = "\ue000"
_EXPRESSION = re.compile(f"{_EDGE}(.*?){_EDGE}", re.DOTALL)
# Blocks whose content is the value of an attribute that nobody sees.
_UNSEEN_BLOCKS = ("page", "modules", "styles")


def _read_html(environment: Environment, source: str) -> str:
    """Return the HTML of a template, with its expressions and without its statements."""
    html: list[str] = []
    statement: list[str] | None = None
    block = ""
    for _, kind, value in environment.lex(source):
        if kind == "block_begin":
            statement = []
        elif kind == "block_end":
            words = [each for each in statement or [] if not each.isspace()]
            block = words[1] if words[0] == "block" else "" if words[0] == "endblock" else block
            statement = None
        elif statement is not None:
            statement.append(value)
        elif block in _UNSEEN_BLOCKS or kind in ("comment_begin", "comment", "comment_end"):
            continue
        elif kind in ("variable_begin", "variable_end"):
            html.append(_EDGE)
        else:
            html.append(value.replace('"', "'") if kind != "data" else value)
    return "".join(html)


class _TemplateReader(HTMLParser):
    def __init__(self, name: str, environment: Environment) -> None:
        super().__init__()
        self.found: list[str] = []
        self._name = name
        self._environment = environment
        self._unseen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "code", "kbd"):
            self._unseen = tag
        for name, value in attrs:
            if name in SHOWN_ATTRIBUTES or (name == "value" and tag == "button"):
                self._check(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._unseen:
            self._unseen = ""

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._check(data)

    def _check(self, content: str) -> None:
        texts = [_EXPRESSION.sub("", content).strip()]
        for expression in _EXPRESSION.findall(content):
            for output in self._environment.parse(f"{{{{ {expression} }}}}").find_all(nodes.Output):
                texts += [const.value for each in output.nodes for const in _list_shown_constants(each)]
        for text in texts:
            if _LETTERS.search(text) and text not in NAMES | CODE | API:
                self.found.append(f"{self._name}:{self.getpos()[0]}: {text!r}")


def _list_shown_constants(node: nodes.Node) -> Iterator[nodes.Const]:
    """Return the strings that an expression can show, which are no arguments of a function."""
    if isinstance(node, nodes.Const) and isinstance(node.value, str) and _LETTERS.search(node.value):
        yield node
    if isinstance(node, (nodes.CondExpr, nodes.Concat, nodes.Add, nodes.Or, nodes.And)):
        for child in node.iter_child_nodes(exclude=("test",)):
            yield from _list_shown_constants(child)


_UNSEEN_CALLS = ("get", "compile", "info", "warning")


def _list_unseen(node: ast.AST) -> Iterator[ast.AST]:
    """Return the strings below a node that people do not see, or that are translated."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    if isinstance(node, (ast.Raise, ast.Subscript)):
        yield from ast.walk(node)
    if isinstance(node, ast.Dict):
        yield from (each for each in node.keys if each)
    if isinstance(node, ast.Call):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if (
            name in ("t", "tn", "translate", "translate_count")
            or name.endswith("Error")
            or name in _UNSEEN_CALLS
            or name.endswith("_error")
        ):
            yield from node.args
            yield from (each.value for each in node.keywords)
