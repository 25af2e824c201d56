"""The XML parts of a zipped document: OOXML, OpenDocument and EPUB.

Only the parts that are asked for are inflated; pictures and films never are. No entity is resolved, no other file
opened, and an external relation is not followed.
"""

import posixpath
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from lxml import etree

from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.zip_guard import open_zip, read_entry

_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
# Office writes "Strict" files in other namespaces (ISO/IEC 29500-1, annex A); they are read as "Transitional" ones.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_DTD_DECLARATION = re.compile(rb"<!(?:ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)


@dataclass(frozen=True)
class Relation:
    """What a part refers to; `kind` is the last word of the relation's type, `target` a part's name or an address."""

    kind: str
    target: str
    is_external: bool


class Package:
    """An opened archive. Part names have no slash at their front.

    Relations may spell them in other capitals (ECMA-376 part 2, 6.2.2.3) and lead to the names that the archive has.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = frozenset(archive.namelist())
        self._spelled = {name.lower(): name for name in archive.namelist()}

    def read_part(self, name: str) -> bytes:
        """Return a part's bytes. Raises `DamagedDocumentError` for one that is missing or damaged."""
        return read_entry(self._archive, name)

    def get_size(self, name: str) -> int:
        """Return how many bytes a part of the package has."""
        return self._archive.getinfo(name).file_size

    def get_media_type(self, name: str) -> str:
        """Return the type that the package states for a part (ECMA-376 part 2, 10.1.2); empty if it states none."""
        listed = self._spelled.get("[content_types].xml")
        if listed is None:
            return ""
        stated: dict[str, str] = {
            each.get("PartName", each.get("Extension", "")).lower(): each.get("ContentType", "")
            for each in self.parse_part(listed)
        }
        own, _, suffix = f"/{name}".lower().rpartition(".")
        return stated.get(f"{own}.{suffix}") or stated.get(suffix, "")

    def parse_part(self, name: str) -> etree._Element:
        """Parse a part. Raises `DamagedDocumentError`, and `ParserLimitError` for absurdly deep nesting."""
        return parse_xml(self.read_part(name), name)

    def load_relations(self, name: str) -> dict[str, Relation]:
        """Return the relations of a part by their ids; those of the package for an empty name."""
        folder, _, last = name.rpartition("/")
        path = self._spelled.get(posixpath.join(folder, "_rels", f"{last}.rels").lower())
        if path is None:
            return {}
        found = {}
        for each in self.parse_part(path).iter(_RELATION):
            target, is_external = each.get("Target", ""), each.get("TargetMode") == "External"
            if not is_external:
                target = resolve_target(name, target)
                target = self._spelled.get(target.lower(), target)
            found[each.get("Id", "")] = Relation(each.get("Type", "").rpartition("/")[2], target, is_external)
        return found

    def list_related(self, name: str, kind: str) -> list[str]:
        """Return the names of the parts that a part refers to as such a kind, as far as they are there."""
        targets = (
            each.target for each in self.load_relations(name).values() if each.kind == kind and not each.is_external
        )
        return [target for target in targets if target in self.names]


@contextmanager
def open_package(file: Path | BinaryIO) -> Iterator[Package]:
    """Open a document that is a zip. Raises as `zip_guard.open_zip`."""
    with open_zip(file) as archive:
        yield Package(archive)


def resolve_target(base: str, target: str) -> str:
    """Return the name of the part that a target in the part `base` names."""
    target = unquote(target.partition("#")[0]).replace("\\", "/")
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(base), target)).lstrip("/")


def parse_xml(content: bytes, name: str) -> etree._Element:
    """Parse bytes that are XML; `name` is for messages. Raises `DamagedDocumentError` and `ParserLimitError`."""
    narrow = content.replace(b"\0", b"") if b"\0" in content[:64] else content  # UTF-16
    # guard: xml-entities
    if _DTD_DECLARATION.search(narrow):
        raise DamagedDocumentError(f"The part {name[:200]} of the file declares entities, as no document does.")
    if b"purl.oclc.org/ooxml" in content:
        content = _STRICT.sub(rb"http://schemas.openxmlformats.org/\1/2006/", content)
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(content, parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        if error.code == etree.ErrorTypes.ERR_RESOURCE_LIMIT or "depth" in str(error):
            raise ParserLimitError(
                f"The part {name[:200]} of the file is nested more deeply than any document is.",
                hint="Take tables out of the tables that they are in, and upload it again.",
            ) from error
        raise DamagedDocumentError(f"The part {name[:200]} of the file is no sound XML.") from error
