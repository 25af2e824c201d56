"""Paths in a WebDAV folder.

A path is relative to the folder, percent-encoded in one spelling, and has no slash at its ends. The folder itself has
the empty path.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes, urlsplit

from ingest.sources.errors import ItemGoneError
from ingest.sources.path_filter import build_item_id, parse_item_id
from ingest.sources.web_addresses import normalize_url

# Characters that RFC 3986 allows in a part of a path, besides letters, digits and `-._~`.
_SAFE = "!$&'()*+,;=:@"
# No decoded path begins with a slash, so this begins the ids of paths that have no unique decoded form.
_RAW_ID = "/bytes/"
# RFC 4918, 8.3: an absolute address, or a path that begins with a slash. A question mark belongs to the name.
_href = re.compile(r"(https?://[^/]*)?(/.*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class DavRoot:
    """The address of the folder: its server, and its path in the form of `normalize_path`."""

    scheme: str
    netloc: str
    path: str

    def build_url(self, path: str, *, is_folder: bool = False) -> str:
        """Build the address of a path. Folders end with a slash, because servers redirect from the form without it."""
        joined = "/".join(filter(None, (self.path, path)))
        return f"{self.scheme}://{self.netloc}/{joined}{'/' if is_folder and joined else ''}"

    def find_path(self, href: str) -> str | None:
        """Return the path of an address that the server has listed, or None if it is not below this folder.

        The scheme may differ, because servers behind a proxy for TLS do not know it. Requests use that of the folder.
        """
        parts = _href.fullmatch(href.strip())
        path = None if parts is None else normalize_path(parts[2] or "/")
        if parts is None or path is None:
            return None
        if parts[1]:
            server = normalize_url(parts[1])
            if server is None or urlsplit(server).netloc != self.netloc:
                return None
        if path == self.path or not self.path:
            return path.removeprefix(self.path)
        return path.removeprefix(f"{self.path}/") if path.startswith(f"{self.path}/") else None


def parse_root(url: str) -> DavRoot | None:
    """Parse the address of a folder in the form of `normalize_url`. Returns None if it cannot be one."""
    parts = urlsplit(url)
    path = normalize_path(parts.path)
    return None if path is None or parts.query else DavRoot(parts.scheme, parts.netloc, path)


def normalize_path(path: str) -> str | None:
    """Return the path of an address in one spelling. Returns None if it leads to a parent folder or to itself."""
    parts = [quote(unquote_to_bytes(each), safe=_SAFE) for each in path.split("/") if each]
    return "/".join(parts) if {".", ".."}.isdisjoint(parts) else None


def find_parent(path: str) -> str:
    """Return the path of the folder that contains a path."""
    return path.rpartition("/")[0]


def decode_path(path: str) -> str:
    """Return a path as people read it."""
    return unquote_to_bytes(path).decode("utf-8", "replace")


def build_dav_id(path: str) -> str:
    """Return a path as the id of an item."""
    decoded = decode_path(path)
    is_unique = _encode_path(decoded) == path and "\0" not in decoded
    return build_item_id(decoded if is_unique else _RAW_ID + path)


def parse_dav_id(item_id: str) -> str:
    """Return the path of an id. Raises `ItemGoneError` if it leads out of the folder."""
    text = parse_item_id(item_id)
    path = text.removeprefix(_RAW_ID) if text.startswith(_RAW_ID) else _encode_path(text)
    # guard: source-dav-no-parent-folder
    if not path or normalize_path(path) != path:
        raise ItemGoneError(item_id)
    return path


def _encode_path(decoded: str) -> str:
    return "/".join(quote(each, safe=_SAFE) for each in decoded.split("/"))
