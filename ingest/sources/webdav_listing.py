"""Reads the list of a WebDAV folder (RFC 4918, 13) piece by piece."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from lxml import etree

from ingest.sources.errors import SourceRefusedError, SourceUnavailableError

_DAV = "{DAV:}"
_OWNCLOUD = "{http://owncloud.org/ns}"
_TYPE = f"{_DAV}resourcetype"
_OWNER, _OWNER_ID, _DISPLAY_NAME = f"{_DAV}owner", f"{_OWNCLOUD}owner-id", f"{_OWNCLOUD}owner-display-name"
# The description of a file has hundreds of bytes. More than this is not kept in memory.
_MAX_ENTRY_BYTES = 1 << 20

LIST_REQUEST = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<d:propfind xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:prop><d:resourcetype/><d:getetag/>'
    b"<d:getlastmodified/><d:getcontentlength/><d:getcontenttype/><d:owner/><oc:owner-id/><oc:owner-display-name/>"
    b"</d:prop></d:propfind>"
)


@dataclass(frozen=True)
class DavEntry:
    """A file or folder in a list. `href` is its address as written, and `status` is 200 if it is described.

    `owners` are the names of its owner. The id comes first, because people can change the name that is displayed.
    `hides_owner` says whether the server has refused or failed to tell one of them.
    """

    href: str
    status: int
    is_folder: bool = False
    etag: str = ""
    modified: str = ""
    size_bytes: int | None = None
    media_type: str = ""
    owners: tuple[str, ...] = ()
    author: str = ""
    hides_owner: bool = False


def iter_entries(path: Path, url: str) -> Iterator[DavEntry]:
    """Yield the entries of a list that was saved to a file.

    Raises `SourceUnavailableError` if the list is incomplete, and `SourceRefusedError` if it is no list.
    """
    try:
        with path.open("rb") as file:
            # No entity is replaced and no DTD is loaded, so the list can neither grow nor name other files.
            events = etree.iterparse(
                file,
                events=("start", "end"),
                resolve_entities=False,
                load_dtd=False,
                no_network=True,
                remove_comments=True,
                remove_pis=True,
            )
            depth = begin = 0
            for event, element in events:
                # guard: source-dav-entry-size
                if file.tell() - begin > _MAX_ENTRY_BYTES:
                    raise SourceUnavailableError(f"{url} lists an entry of more than {_MAX_ENTRY_BYTES:,} bytes.")
                if event == "start":
                    if depth == 0:
                        _check_root(element, url)
                    depth += 1
                    continue
                depth -= 1
                if depth == 1:
                    begin = file.tell()
                    if element.tag == f"{_DAV}response":
                        yield from _read_response(element, url)
                    element.getparent().remove(element)
    except etree.XMLSyntaxError as error:
        raise SourceUnavailableError(f"{url} answered with an incomplete or damaged list: {error}.") from error


def _check_root(element: etree._Element, url: str) -> None:
    if element.tag != f"{_DAV}multistatus":
        raise SourceRefusedError(f"{url} did not answer with the list of a WebDAV folder.")
    # The protocol needs none, and a name that contains an entity would be read without it.
    # guard: source-dav-no-dtd
    if element.getroottree().docinfo.internalDTD is not None:
        raise SourceUnavailableError(f"{url} answered with a list that defines entities, which are not read.")


def _read_response(response: etree._Element, url: str) -> Iterator[DavEntry]:
    hrefs = [each.text or "" for each in response.findall(f"{_DAV}href")]
    whole = response.findtext(f"{_DAV}status")
    groups = response.findall(f"{_DAV}propstat")
    if not hrefs or (whole is None and not groups):
        raise SourceUnavailableError(f"{url} answered with a list that has an incomplete entry.")
    if whole is not None:
        status = _parse_status(whole, url)
        yield from (DavEntry(href, status) for href in hrefs)
        return
    found: dict[str, etree._Element] = {}
    failed: dict[str, int] = {}
    for group in groups:
        status = _parse_status(group.findtext(f"{_DAV}status") or "", url)
        for each in group.iterfind(f"{_DAV}prop/*"):
            if status == 200:
                found[each.tag] = each
            else:
                failed[each.tag] = status
    # Without its type, a folder could be taken for a file, and everything in it would be missing.
    type_status = 200 if _TYPE in found else failed.get(_TYPE, 404)
    yield from (_describe(href, found, failed, type_status) for href in hrefs)


def _describe(href: str, found: dict[str, etree._Element], failed: dict[str, int], type_status: int) -> DavEntry:
    kind, size = found.get(_TYPE), _find_text(found.get(f"{_DAV}getcontentlength"))
    owners = _list_owners(found)
    return DavEntry(
        href=href,
        # Servers without a type for files do not find the property. Everything else is a failure.
        status=200 if type_status == 404 else type_status,
        is_folder=kind is not None and kind.find(f"{_DAV}collection") is not None,
        etag=_find_text(found.get(f"{_DAV}getetag")),
        modified=_find_text(found.get(f"{_DAV}getlastmodified")),
        size_bytes=int(size) if size.isdecimal() and len(size) < 19 else None,
        media_type=_find_text(found.get(f"{_DAV}getcontenttype")).partition(";")[0].strip().lower(),
        owners=owners,
        author=_find_text(found.get(_DISPLAY_NAME)) or (owners[-1] if owners else ""),
        hides_owner=any(failed.get(each, 404) != 404 for each in (_OWNER, _OWNER_ID, _DISPLAY_NAME)),
    )


def _list_owners(found: dict[str, etree._Element]) -> tuple[str, ...]:
    names = [_find_text(found.get(_OWNER_ID)), _find_text(found.get(_DISPLAY_NAME))]
    if _OWNER in found:
        # The address of a person, of which the last part is the name (RFC 3744, 5.1).
        href = _find_text(found[_OWNER].find(f"{_DAV}href"))
        names += [href, unquote(href.rstrip("/").rpartition("/")[2])]
    return tuple(dict.fromkeys(filter(None, names)))


def _find_text(element: etree._Element | None) -> str:
    return "" if element is None else " ".join((element.text or "").split())


def _parse_status(text: str, url: str) -> int:
    words = text.split()
    if len(words) < 2 or not words[1].isdecimal() or len(words[1]) != 3:
        raise SourceUnavailableError(f"{url} answered with a list that has the invalid status {text!r}.")
    return int(words[1])
