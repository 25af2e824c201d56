"""Addresses of servers that operators permit to sources, because their names are not resolved and checked here."""

from collections.abc import Container
from urllib.parse import urlsplit

from ingest.sources.errors import SourceOptionsError


def normalize_endpoint(url: str) -> str:
    """Return the address of a server in the form in which addresses are compared. Raises `ValueError` if invalid."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError(f"{url!r} is not an address such as https://storage.example.org.")
    if parts.query or parts.fragment or not {".", ".."}.isdisjoint(parts.path.split("/")):
        raise ValueError(f"{url!r} has more than a server, a port and a path.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


def require_permitted_endpoint(url: str, permitted: Container[str]) -> str:
    """Return the normalized address of a server. Raises `SourceOptionsError` unless operators permit it."""
    try:
        endpoint = normalize_endpoint(url)
    except ValueError as error:
        raise SourceOptionsError(str(error)) from error
    # guard: source-permitted-endpoint
    if endpoint not in permitted:
        raise SourceOptionsError(
            f"Sources may not use the server {url}.",
            hint="Leave the endpoint empty for the provider's own, or ask the operators to permit this one.",
        )
    return endpoint
