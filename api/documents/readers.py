"""Checks the readers that a caller sets on documents, and finds the people whom it names."""

from collections.abc import Collection

from api.admission.services import Services
from ingest.storage.accounts.records import Principal
from ingest.storage.documents.metadata import require_own_access, validate_readers


def find_readers(services: Services, caller: Principal, entries: Collection[str]) -> frozenset[str]:
    """Return the subjects for the readers in a request, such as `user:ID` for the name or mail address of a person.

    Raises `PersonUnknownError` or `PersonAmbiguousError` if an entry does not name exactly one person, and
    `MetadataError` if the readers are not valid.
    """
    return validate_readers(services.accounts.people.find_subjects(caller.tenant_id, entries))


def check_readers(services: Services, caller: Principal, entries: Collection[str]) -> frozenset[str]:
    """Return the subjects for the readers of an upload. Raises `MetadataError` if they exclude the caller, too."""
    found = find_readers(services, caller, entries)
    require_own_access(found, caller.readers)
    return found
