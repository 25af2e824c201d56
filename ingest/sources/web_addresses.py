"""Addresses of web pages in one spelling, so that each page has a single address."""

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

_PORTS = {"http": 80, "https": 443}
_MAX_CHARS = 1_000
_escape = re.compile(r"%[0-9A-Fa-f]{2}")
# Characters that RFC 3986 allows in a path and in a query without an escape, besides letters, digits and `-._~`.
_PATH_CHARS = "/!$&'()*+,;=:@%"
_QUERY_CHARS = _PATH_CHARS + "?"


@dataclass(frozen=True)
class Site:
    """The pages of one server whose paths begin with `prefix`."""

    scheme: str
    netloc: str
    prefix: str = "/"

    @classmethod
    def of_page(cls, url: str, *, is_whole: bool = False) -> "Site":
        """The pages below a page's folder, or all pages of its server."""
        parts = urlsplit(url)
        return cls(parts.scheme, parts.netloc, "/" if is_whole else parts.path.rpartition("/")[0] + "/")

    def contains(self, url: str) -> bool:
        """Return whether an address belongs to the site. The encrypted form of an unencrypted site belongs to it."""
        parts = urlsplit(url)
        is_same = (parts.scheme, parts.netloc) == (self.scheme, self.netloc)
        is_encrypted = (parts.scheme, self.scheme, parts.netloc) == ("https", "http", self.netloc)
        return (is_same or is_encrypted) and parts.path.startswith(self.prefix)


def normalize_url(url: str, base: str = "", *, ignore_query: bool = False) -> str | None:
    """Return an absolute HTTP address in one spelling (RFC 3986, 6.2), without its fragment. None if it is not one."""
    try:
        parts = urlsplit(urljoin(base, url.strip()))
        port, host = parts.port, (parts.hostname or "").rstrip(".")
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        return None
    if parts.scheme not in _PORTS or not host or parts.username is not None:
        return None
    host = f"[{host}]" if ":" in host else host
    netloc = host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
    # `urljoin` removes the dot segments of a reference, but not those of an absolute address.
    path = parts.path or "/"
    if "/." in path:
        path = urlsplit(urljoin(f"http://{netloc}/", "/" + path.lstrip("/"))).path
    query = "" if ignore_query else _normalize_escapes(quote(parts.query, safe=_QUERY_CHARS))
    found = urlunsplit((parts.scheme, netloc, _normalize_escapes(quote(path, safe=_PATH_CHARS)), query, ""))
    return found if len(found) <= _MAX_CHARS else None


def derive_name(url: str, media_type: str | None) -> str:
    """Derive a file name from the last part of a page's path, or from its host."""
    parts = urlsplit(url)
    name = unquote(parts.path.rstrip("/").rpartition("/")[2]).replace("/", "_") or parts.hostname or "page"
    if parts.query:
        name = f"{name}?{unquote(parts.query)}"
    is_page = media_type in HTML_TYPES and not name.lower().endswith((".html", ".htm", ".xhtml"))
    return f"{name}.html" if is_page else name


HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})


def _normalize_escapes(text: str) -> str:
    return _escape.sub(_normalize_escape, text)


def _normalize_escape(match: re.Match[str]) -> str:
    """Decode the escape of an unreserved character; write other escapes in upper case."""
    character = chr(int(match[0][1:], 16))
    return character if character.isascii() and (character.isalnum() or character in "-._~") else match[0].upper()
