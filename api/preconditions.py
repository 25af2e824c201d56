"""`ETag` and `If-Match`: the state that a client means, of a document or of the settings of a collection."""

import re

from api.http.problems import BadRequestError, PreconditionRequiredError
from ingest.storage.documents.collection_records import Collection
from ingest.storage.documents.records import Document

_TAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def etag(shown: Document | Collection) -> dict[str, str]:
    """Return the header for a document or a collection."""
    return {"ETag": f'"{shown.tag}"'}


def matching(if_match: str | None) -> frozenset[str] | None:
    """Return the tags that an `If-Match` header admits; None for `*`, which admits any.

    Raises `PreconditionRequiredError` without a header. A weak tag admits nothing (RFC 9110, 13.1.1).
    """
    if if_match is None:
        raise PreconditionRequiredError("Changing this needs If-Match, so that nobody's change is lost.")
    if if_match.strip() == "*":
        return None
    found = [_TAG.fullmatch(part.strip()) for part in if_match.split(",")]
    if not all(found):
        raise BadRequestError("If-Match cannot be read.", hint='Send the ETag as it came, quotes included: "1b2c…".')
    return frozenset(tag.group(2) for tag in found if tag and not tag.group(1))
