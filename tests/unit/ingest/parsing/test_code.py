"""Source code: the text is the source, and the tree is its definitions."""

from pathlib import Path

import pytest

from ingest.chunking import chunk_text
from ingest.parsing.code import LANGUAGES
from ingest.parsing.registry import get_parser
from ingest.parsing.sniff import CODE, sniff_media_type
from ingest.parsing.types import ParsedDocument

_PYTHON = '''"""A module."""

import os


# Says where the ship is.
@dataclass
class Ship:
    """A ship."""

    name = "Grüße 🚢"

    def move(self, to):
        def inner():
            return to
        return inner()

    home = "Hull"


async def sail():
    return 1


if __name__ == "__main__":
    sail()
'''
_CASES = [
    (
        "text/javascript",
        "export class A {\n  b() {}\n}\nfunction c() { function d() {} }",
        ["class A", "method b", "function c"],
    ),
    ("text/typescript", "interface A { x: number }\ntype B = A;\nenum C { D }\n", ["interface A", "type B", "enum C"]),
    ("text/tsx", "function A() { return <p>hi</p>; }\n", ["function A"]),
    (
        "text/x-go",
        "package a\n\n// T is.\ntype T struct{}\n\nfunc (t *T) B() {}\n\nfunc c() {}\n",
        ["type T", "func (t *T) B", "func c"],
    ),
    ("text/x-rust", "struct A;\nimpl B for A {\n    fn c(&self) {}\n}\n", ["struct A", "impl B for A", "fn c"]),
    ("text/x-java", "class A {\n  A() {}\n  int b() { return 1; }\n}\n", ["class A", "method A", "method b"]),
    (
        "text/x-c",
        "struct a { int b; };\nstruct a c;\nstatic int *d(int e) { return 0; }\n",
        ["struct a", "top level", "function d"],
    ),
    (
        "text/x-c++",
        "namespace n {\ntemplate <class T> class A { void b() {} };\n}\n",
        ["namespace n", "class A", "function b"],
    ),
]


def parse(folder: Path, media_type: str, source: str) -> ParsedDocument:
    path = folder / "source"
    path.write_text(source, encoding="utf-8")
    return get_parser(media_type)(path)


def test_chunks_carry_the_definition_they_stand_in_and_cut_between_definitions(tmp_path: Path) -> None:
    document = parse(tmp_path, "text/x-python", _PYTHON)
    assert document.text == _PYTHON.rstrip("\n")
    chunks = [
        (document.text[chunk.start : chunk.end].splitlines()[0].strip(), chunk.heading_path)
        for chunk in chunk_text(document.text, document.layout)
    ]
    assert chunks == [
        ('"""A module."""', ()),
        ("# Says where the ship is.", ("class Ship",)),
        ("def move(self, to):", ("class Ship", "def move")),
        ('home = "Hull"', ("class Ship",)),
        ("async def sail():", ("def sail",)),
        ('if __name__ == "__main__":', ("top level",)),
    ]
    assert all(heading.start == heading.end for heading in document.layout.headings)


@pytest.mark.parametrize(("media_type", "source", "titles"), _CASES)
def test_each_language_has_its_definitions(tmp_path: Path, media_type: str, source: str, titles: list[str]) -> None:
    document = parse(tmp_path, media_type, source)
    assert [heading.title for heading in document.layout.headings] == titles
    assert document.text == source.rstrip("\n")


@pytest.mark.parametrize("media_type", LANGUAGES)
def test_code_that_no_compiler_takes_is_read_all_the_same(tmp_path: Path, media_type: str) -> None:
    document = parse(tmp_path, media_type, "class } { ((( def fn \x1b[0m <<<<<<< HEAD\n" * 50)
    assert "HEAD" in document.text


def test_every_media_type_of_code_has_a_grammar() -> None:
    assert set(LANGUAGES) == CODE


def test_the_name_chooses_the_language_and_only_of_text() -> None:
    assert sniff_media_type(b"int a;", "a.c", None) == "text/x-c"
    assert sniff_media_type(b"%PDF-1.7", "a.py", None) == "application/pdf"
