"""The documentation site: `make docs` builds it from the pages of the repository, and a broken link fails the build."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import get_type_hints

from docutils import nodes
from pydantic import BaseModel
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import leadline  # noqa: E402 - the checkout's
from api.client.calls import following, listing, operation, stepwise, streaming  # noqa: E402
from api.client.errors import ServiceError  # noqa: E402
from api.client.operations import Operations  # noqa: E402

# The sidebar. A page that is in none of these groups fails the build.
GROUPS = {
    "Use it": [
        "docs/answers",
        "docs/index",
        "docs/formats",
        "docs/containers",
        "docs/tables",
        "docs/portal",
        "docs/slack",
        "docs/sources",
        "docs/source-kinds",
    ],
    "Build on it": [
        "docs/api",
        "docs/requests",
        "docs/errors",
        "docs/python",
        "docs/python-reference",
        "docs/langchain",
        "docs/openai",
        "docs/chat-programs",
        "docs/vector-stores",
        "docs/mcp",
        "docs/webhooks",
        "docs/sources",
        "docs/source-kinds",
        "examples/README",
    ],
    "Run it": [
        "deploy/README",
        "docs/settings",
        "docs/proxies",
        "docs/operators",
        "docs/identity",
        "docs/keycloak",
        "docs/entra-id",
        "docs/okta",
        "docs/google",
        "docs/authentik",
        "docs/quotas",
        "docs/data",
        "docs/storage",
        "docs/encoders",
        "docs/models-on-gpus",
        "docs/observability",
        "docs/upgrading",
        "deploy/RUNBOOKS",
        "deploy/SIZING",
        "SECURITY",
    ],
    "Change it": ["CONTRIBUTING", "docs/architecture", "docs/measuring", "DECISIONS", "CHANGELOG"],
}
# The result of each kind of method, for the type in the brackets of its annotation.
RESULTS = {
    operation: "{}",
    stepwise: "{}",
    listing: "Iterator[{}]",
    following: "Iterator[{}]",
    streaming: "AbstractContextManager[Iterator[{}]]",
}
_PAGE = re.compile(r"(?:docs|deploy|examples)/[\w-]+\.md|(?:README|CONTRIBUTING|SECURITY|DECISIONS|CHANGELOG)\.md")

project = "Leadline"
html_title = project
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "deploy/*.md", "examples/*.md"]
# Folders without pages: Sphinx walks through every other folder.
exclude_patterns = [".*", "docs/_site", "ingest", "retrieval", "rlm", "api", "workers", "tests", "**/__pycache__"]
myst_heading_anchors = 4
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False
html_show_sphinx = False
# Docstrings have single backticks around code, as Markdown has.
default_role = "code"
autodoc_member_order = "bysource"
napoleon_use_ivar = True
autodoc_typehints_format = "short"
python_display_short_literal_types = True
python_maximum_signature_line_length = 100


def _complete_page(_: Sphinx, docname: str, source: list[str]) -> None:
    """Append the sidebar's groups to the first page, and list errors and schemas where the reference asks for them."""
    if docname == root_doc:
        for caption, pages in GROUPS.items():
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n" + "\n".join(pages) + "\n```\n"
    if docname == "docs/python-reference":
        errors = sorted(_list_exported(ServiceError), key=lambda name: (name != "ServiceError", name))
        shown_errors = _render_directives("autoexception", errors, "show-inheritance")
        shown_schemas = _render_directives("autoclass", _list_exported(BaseModel), "members", "undoc-members")
        source[0] = source[0].replace("<!-- errors -->", shown_errors).replace("<!-- schemas -->", shown_schemas)


def _list_exported(kind: type) -> dict[str, type]:
    """Return the subclasses of a class that `leadline` exports, by name."""
    exported = {name: getattr(leadline, name) for name in leadline.__all__}
    return {name: each for name, each in exported.items() if isinstance(each, type) and issubclass(each, kind)}


def _render_directives(directive: str, names: Iterable[str], *options: str) -> str:
    """Return a block of one directive for each name."""
    flags = "".join(f"   :{option}:\n" for option in options)
    entries = "\n".join(f".. {directive}:: leadline.{name}\n{flags}" for name in names)
    return f"```{{eval-rst}}\n{entries}```"


class LinkPages(SphinxTransform):
    """Makes links of pages that are named by their path, such as `docs/api.md`. Warns if there is no such page."""

    default_priority = 500

    def apply(self, **_: object) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext()
            if _PAGE.fullmatch(name) and "NAME" not in name and not isinstance(literal.parent, nodes.reference):
                target = {"reftype": "doc", "reftarget": f"/{name.removesuffix('.md')}", "refdoc": self.env.docname}
                link = addnodes.pending_xref("", refdomain="std", refexplicit=True, refwarn=True, **target)
                literal.replace_self(link)
                link += literal


def _turn_operations_into_functions() -> None:
    """Replace the descriptors of `Operations` by the functions that they wrap, whose signatures autodoc can read."""
    for name, method in list(vars(Operations).items()):
        if type(method) in RESULTS:
            shown = {each: note.replace("schemas.", "") for each, note in method.make.__annotations__.items()}
            result = re.sub(r"^\w+\[(.*)\]$", r"\1", shown["return"])
            method.make.__annotations__ = {**shown, "return": RESULTS[type(method)].format(result)}
            setattr(Operations, name, method.make)


def _simplify_annotations() -> None:
    """Show the plain types of fields, without their validators."""
    for schema in _list_exported(BaseModel).values():
        types = get_type_hints(schema)
        schema.__annotations__ = {name: types[name] for name in schema.model_fields}


def _complete_docstring(_: Sphinx, kind: str, name: str, __: object, ___: object, lines: list[str]) -> None:
    """Give a field of a schema its description, and mark indented examples as Python."""
    if kind == "attribute":
        _, owner, attribute = name.split(".")
        if schema := _list_exported(BaseModel).get(owner):
            field = schema.model_fields.get(attribute)
            lines[:] = [field.description or ""] if field else []
    if "Returns:" in lines:
        # Napoleon would take text before a colon for a type.
        first = lines.index("Returns:") + 1
        lines[first] = f"    : {lines[first].strip()}"
    if "Example:" in lines:
        start = lines.index("Example:") + 1
        lines[start:] = ["    .. code-block:: python", "", *(f"    {line}" for line in lines[start:])]


def _skip_internals(_: Sphinx, __: str, name: str, member: object, *___: object) -> bool | None:
    """Leave out methods that send the clients' requests, and methods that the service uses of its schemas."""
    is_internal = callable(member) and getattr(member, "__module__", "") != Operations.__module__ and name != "close"
    return True if is_internal or name == "model_config" else None


def _hide_arguments(_: Sphinx, __: str, ___: str, value: object, *____: object) -> tuple[str, str] | None:
    """Leave out the arguments of schemas and errors, which the client makes."""
    return ("", "") if isinstance(value, type) and issubclass(value, (BaseModel, ServiceError)) else None


def _find_in_leadline(
    app: Sphinx, environment: BuildEnvironment, node: addnodes.pending_xref, text: nodes.Element
) -> nodes.reference | None:
    """Link a class that `leadline` exports, whatever module an annotation finds it in."""
    module, _, name = node.get("reftarget", "").rpartition(".")
    if module.startswith("httpx"):
        return None
    name = f"leadline.{name}"
    found = environment.domains["py"].objects.get(name)
    return found and make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, text, name)


def _redirect_to_first_page(app: Sphinx, error: Exception | None) -> None:
    if error is None:
        page = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
        (Path(app.outdir) / "index.html").write_text(page)


def setup(app: Sphinx) -> None:
    _turn_operations_into_functions()
    _simplify_annotations()
    app.add_transform(LinkPages)
    app.connect("source-read", _complete_page)
    app.connect("autodoc-process-docstring", _complete_docstring, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", _skip_internals)
    app.connect("autodoc-process-signature", _hide_arguments)
    app.connect("missing-reference", _find_in_leadline)
    app.connect("build-finished", _redirect_to_first_page)
