"""Parse source code. The text is the source code. Its definitions become headings, so that chunks follow them.

The tree-sitter grammars parse broken code as far as possible. Definitions inside functions are not headings, because
nobody searches for them by name.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from ingest.parsing.text import parse_unstructured_text
from ingest.parsing.types import ParsedDocument
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import Heading, Layout, OmissionKind, build_omission

_TOP_LEVEL = "top level"
_MAX_NAME_CHARS = 120
_BLOCK_BYTES = 65_536
_MAX_SECONDS = 5.0
_NODES_PER_CHECK = 1_000


@dataclass(frozen=True)
class CodeLanguage:
    """A grammar: the function `function` in `module` returns it.

    `words` maps the node types of definitions to the first word of their titles. Node types in `functions` are not
    searched for nested definitions. `wrappers` are the types of nodes that enclose a definition and belong to it, such
    as decorators.
    """

    module: str
    words: dict[str, str]
    functions: frozenset[str]
    wrappers: frozenset[str] = frozenset()
    comments: tuple[str, ...] = ("comment",)
    function: str = "language"


_JAVASCRIPT = {
    **dict.fromkeys(("function_declaration", "generator_function_declaration"), "function"),
    **{"class_declaration": "class", "method_definition": "method"},
}
_TYPESCRIPT = {
    **_JAVASCRIPT,
    **{"abstract_class_declaration": "class", "interface_declaration": "interface", "enum_declaration": "enum"},
    **{"type_alias_declaration": "type", "internal_module": "namespace"},
}
_C = {
    "function_definition": "function",
    "struct_specifier": "struct",
    "enum_specifier": "enum",
    "union_specifier": "union",
}
_SCRIPT_FUNCTIONS = frozenset({"function_declaration", "generator_function_declaration", "method_definition"})
_EXPORT = frozenset({"export_statement"})

LANGUAGES: dict[str, CodeLanguage] = {
    "text/x-python": CodeLanguage(
        "tree_sitter_python",
        {"class_definition": "class", "function_definition": "def"},
        frozenset({"function_definition"}),
        frozenset({"decorated_definition"}),
    ),
    "text/javascript": CodeLanguage("tree_sitter_javascript", _JAVASCRIPT, _SCRIPT_FUNCTIONS, _EXPORT),
    "text/typescript": CodeLanguage(
        "tree_sitter_typescript", _TYPESCRIPT, _SCRIPT_FUNCTIONS, _EXPORT, function="language_typescript"
    ),
    "text/tsx": CodeLanguage(
        "tree_sitter_typescript", _TYPESCRIPT, _SCRIPT_FUNCTIONS, _EXPORT, function="language_tsx"
    ),
    "text/x-go": CodeLanguage(
        "tree_sitter_go",
        {"function_declaration": "func", "method_declaration": "func", "type_spec": "type"},
        frozenset({"function_declaration", "method_declaration"}),
        frozenset({"type_declaration"}),
    ),
    "text/x-rust": CodeLanguage(
        "tree_sitter_rust",
        {
            **{"function_item": "fn", "struct_item": "struct", "enum_item": "enum", "trait_item": "trait"},
            **{"impl_item": "impl", "mod_item": "mod", "macro_definition": "macro", "union_item": "union"},
        },
        frozenset({"function_item"}),
        comments=("line_comment", "block_comment", "attribute_item"),
    ),
    "text/x-java": CodeLanguage(
        "tree_sitter_java",
        {
            **{"class_declaration": "class", "interface_declaration": "interface", "enum_declaration": "enum"},
            **{"record_declaration": "record", "annotation_type_declaration": "annotation"},
            **dict.fromkeys(("method_declaration", "constructor_declaration"), "method"),
        },
        frozenset({"method_declaration", "constructor_declaration"}),
        comments=("line_comment", "block_comment"),
    ),
    "text/x-c": CodeLanguage("tree_sitter_c", _C, frozenset({"function_definition"})),
    "text/x-c++": CodeLanguage(
        "tree_sitter_cpp",
        {**_C, "class_specifier": "class", "namespace_definition": "namespace"},
        frozenset({"function_definition"}),
        frozenset({"template_declaration"}),
    ),
}


@dataclass(frozen=True)
class _Definition:
    start: int
    end: int
    title: str
    is_function: bool


def get_code_fingerprint(media_type: str) -> str:
    """Return the name and version of a language's parser."""
    return f"code-1/{media_type.partition('/')[2]}"


def build_code_parser(media_type: str) -> Callable[[Path], ParsedDocument]:
    """Return the parser for a language. It raises the same errors as `parse_text`."""
    return partial(_parse_code, media_type=media_type)


def _parse_code(path: Path, media_type: str) -> ParsedDocument:
    document, language = parse_unstructured_text(path, get_code_fingerprint(media_type)), LANGUAGES[media_type]
    definitions = _find_definitions(document.text, language)
    if definitions is None:
        slow = build_omission(OmissionKind.OTHER, 1, [Remark("omitted_definitions")])
        return replace(document, omissions=(*document.omissions, slow))
    return replace(document, layout=Layout(tuple(_iter_headings(document.text, definitions))))


def _find_definitions(text: str, language: CodeLanguage) -> list[_Definition] | None:
    """Return the definitions outside functions, in order. Each includes the comment directly above it.

    Returns None if the search takes too long, for example in generated code with a hundred thousand nested brackets.
    """
    from tree_sitter import Language as Grammar  # Imported here so that this module loads no parser.
    from tree_sitter import Parser

    until = time.monotonic() + _MAX_SECONDS

    def has_timed_out(*_: object) -> bool:
        return time.monotonic() > until

    grammar = Grammar(getattr(import_module(language.module), language.function)())
    source = text.encode("utf-8")
    tree = Parser(grammar).parse(lambda at, _: source[at : at + _BLOCK_BYTES], progress_callback=has_timed_out)
    found = None if tree is None else _collect_definitions(tree.walk(), language, has_timed_out)
    if found is None:
        return None
    definitions, wrappers, comments = found
    spans = []
    for node in definitions:
        name = _extract_definition_name(node, language)
        if not name:
            continue
        is_function = node.type in language.functions
        outer = wrappers.get(node.end_byte)
        first = outer if outer is not None and outer.start_byte <= node.start_byte else node
        first = _find_first_comment(first, comments)
        spans.append((first.start_byte, node.end_byte, f"{language.words[node.type]} {name}", is_function))
    to_text = _map_byte_offsets_to_code_points(source, sorted({at for span in spans for at in span[:2]}))
    return [_Definition(to_text[start], to_text[end], title, function) for start, end, title, function in spans]


def _collect_definitions(
    cursor: Any,  # noqa: ANN401 - tree-sitter's cursor
    language: CodeLanguage,
    has_timed_out: Callable[[], bool],
) -> tuple[list[Any], dict[int, Any], dict[int, Any]] | None:
    """Return a tree's definitions in order, its wrappers keyed by end, and its comments keyed by last row.

    Function bodies are skipped. Returns None if `has_timed_out` returns true. (The library's queries are usually
    faster, but take hours on a few broken files.)
    """
    definitions: list[Any] = []
    wrappers: dict[int, Any] = {}
    comments: dict[int, Any] = {}
    visited = 0
    while True:
        node = cursor.node
        visited += 1
        if visited % _NODES_PER_CHECK == 0 and has_timed_out():
            return None
        if node.type in language.words:
            definitions.append(node)
        elif node.type in language.wrappers:
            wrappers.setdefault(node.end_byte, node)
        elif node.type in language.comments:
            comments[node.end_point.row] = node
        if node.type not in language.functions and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return definitions, wrappers, comments


def _extract_definition_name(node: Any, language: CodeLanguage) -> str:  # noqa: ANN401 - tree-sitter's node
    """Return the name of a definition, or an empty string for a declaration. A Go method's name has its receiver."""
    if node.type.endswith("_specifier") and node.child_by_field_name("body") is None:
        return ""
    named = node.child_by_field_name("name") or node.child_by_field_name("type")
    declarator = node.child_by_field_name("declarator")
    while declarator is not None and language.module in ("tree_sitter_c", "tree_sitter_cpp"):
        named = declarator
        declarator = declarator.child_by_field_name("declarator")
    before = node.child_by_field_name("receiver") or node.child_by_field_name("trait")
    parts = [_extract_node_text(part) for part in (before, named) if part is not None]
    return (" for " if node.type == "impl_item" else " ").join(filter(None, parts))[:_MAX_NAME_CHARS]


def _extract_node_text(node: Any) -> str:  # noqa: ANN401 - tree-sitter's node
    return " ".join((node.text or b"").decode("utf-8", "replace").split())


def _find_first_comment(node: Any, comments: dict[int, Any]) -> Any:  # noqa: ANN401 - tree-sitter's node
    """Return the first of the consecutive comments directly above a node, or the node itself if there are none."""
    while (above := comments.get(node.start_point.row - 1)) is not None and above.start_byte < node.start_byte:
        node = above
    return node


def _map_byte_offsets_to_code_points(source: bytes, offsets: Sequence[int]) -> dict[int, int]:
    """Map byte offsets to code-point offsets. `offsets` must be in ascending order."""
    found: dict[int, int] = {}
    at = point = 0
    for offset in offsets:
        point += len(source[at:offset].decode("utf-8", "replace"))
        found[offset] = point
        at = offset
    return found


def _iter_headings(text: str, definitions: Sequence[_Definition]) -> Iterator[Heading]:
    """Yield a heading for each definition, and for code that follows a definition in its parent or at the top level."""
    open_: list[_Definition] = []
    for definition in (*definitions, None):
        start = len(text) if definition is None else definition.start
        while open_ and open_[-1].end <= start:
            ended = open_.pop()
            until = min(start, open_[-1].end) if open_ else start
            if any(map(str.isalnum, text[ended.end : until])):
                at = _find_next_line(text, ended.end, until)
                yield Heading(max(1, len(open_)), at, at, open_[-1].title if open_ else _TOP_LEVEL)
        if definition is not None:
            open_.append(definition)
            yield Heading(len(open_), start, start, definition.title)


def _find_next_line(text: str, start: int, end: int) -> int:
    """Return the start of the next line, or `start` if no other line starts before `end`."""
    line_end = text.find("\n", start, end)
    return line_end + 1 if line_end >= 0 else start
