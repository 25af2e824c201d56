"""Read the XML parts of a zipped document: OOXML, OpenDocument and EPUB.

Only requested parts are inflated, which never include pictures or videos. Entities are not resolved, no other files are
opened, and external relations are not followed.
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
from ingest.storage.remarks import Remark

_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
# Matches the namespaces of "Strict" files (ISO/IEC 29500-1, annex A), which are replaced by the "Transitional"
# namespaces.
_STRICT = re.compile(rb"http://purl\.oclc\.org/ooxml/(\w+)/")
_DTD_DECLARATION = re.compile(rb"<!(?:ENTITY|ELEMENT|ATTLIST|NOTATION)", re.IGNORECASE)


@dataclass(frozen=True)
class Relation:
    """A reference from a part. `kind` is the last component of its type, and `target` is a part name or a URL."""

    kind: str
    target: str
    is_external: bool


class Package:
    """An open archive. Part names have no leading slash.

    The target of a relation may differ from a part name in case (ECMA-376 part 2, 6.2.2.3). It is resolved to the name
    in the archive.
    """

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.names = frozenset(archive.namelist())
        self._spelled = {name.lower(): name for name in archive.namelist()}

    def read_part(self, name: str) -> bytes:
        """Return the bytes of a part. Raises `DamagedDocumentError` if it is missing or damaged."""
        return read_entry(self._archive, name)

    def get_part_size(self, name: str) -> int:
        """Return the size of a part in bytes."""
        return self._archive.getinfo(name).file_size

    def get_media_type(self, name: str) -> str:
        """Return the declared media type of a part (ECMA-376 part 2, 10.1.2), or an empty string."""
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
        """Parse a part. Raises `DamagedDocumentError`, or `ParserLimitError` if elements are nested too deeply."""
        return parse_xml(self.read_part(name), name)

    def load_relations(self, name: str) -> dict[str, Relation]:
        """Return the relations of a part, or of the package if the name is empty, keyed by id."""
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

    def list_related_parts(self, name: str, kind: str) -> list[str]:
        """Return the names of the parts to which a part has relations of the given kind. Missing parts are skipped."""
        targets = (
            each.target for each in self.load_relations(name).values() if each.kind == kind and not each.is_external
        )
        return [target for target in targets if target in self.names]


@contextmanager
def open_package(file: Path | BinaryIO) -> Iterator[Package]:
    """Open a zipped document. Raises the same errors as `zip_guard.open_zip`."""
    with open_zip(file) as archive:
        yield Package(archive)


def resolve_target(base_part: str, target: str) -> str:
    """Resolve the target of a relation in the part `base_part` to a part name."""
    target = unquote(target.partition("#")[0]).replace("\\", "/")
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(base_part), target)).lstrip("/")


def parse_xml(content: bytes, name: str) -> etree._Element:
    """Parse XML. `name` is used only in messages. Raises `DamagedDocumentError` and `ParserLimitError`."""
    narrow = content.replace(b"\0", b"") if b"\0" in content[:64] else content  # The part is encoded in UTF-16.
    # guard: xml-entities
    if _DTD_DECLARATION.search(narrow):
        raise DamagedDocumentError(Remark("part_entities", part=name[:200]))
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
                Remark("part_deep", part=name[:200]),
                hint=Remark("hint_tables_deep"),
            ) from error
        raise DamagedDocumentError(Remark("part_no_xml", part=name[:200])) from error
