"""Errors of sources, and the two outcomes of opening an item that are not failures."""

from ingest.storage.errors import IngestError


class SourceError(IngestError):
    """A source cannot be synchronized. No document was removed."""

    code = "source_error"


class SourceUnavailableError(SourceError):
    """The source did not respond, or responded with a server error. A later try may succeed."""

    code = "source_unavailable"
    default_hint = "Check that the source is running and reachable. The next sync tries again."


class FolderMissingError(SourceUnavailableError):
    """A permitted folder, or the file that is always in it, does not exist. Nothing is said about other folders."""

    code = "source_folder_missing"
    default_hint = "Check the spelling of the path, and that the share is mounted."


class SourceRefusedError(SourceError):
    """The source rejected the credentials, or does not let them list or read anything."""

    code = "source_refused"
    default_hint = "Check the credentials of the source and their permissions."


class SourceOptionsError(SourceError):
    """The options of a source are invalid, the service does not permit them, or the source exceeds their limits."""

    code = "source_options_invalid"


class SourceNotPermittedError(SourceOptionsError):
    """The operator of the service does not permit the address of a source."""

    code = "source_not_permitted"
    default_hint = "Ask the operator of the service to permit it, or choose another one."


class FolderNotPermittedError(SourceNotPermittedError):
    """The folder is in none of the permitted folders. It may exist or not."""

    code = "source_folder_not_permitted"


class LoaderNotPermittedError(SourceNotPermittedError):
    """The operator of the service does not permit the loader of a source."""

    code = "source_loader_not_permitted"


class ItemRefusedError(SourceError):
    """One item cannot be read, for example because of its permissions or its size. Other items can be."""

    code = "source_item_refused"


class ItemUnavailableError(ItemRefusedError):
    """One item cannot be read now, for example because of its permissions, which are no part of its version.

    The next sync tries again, also if the item did not change.
    """


class ItemGoneError(Exception):
    """The item was removed after it was listed."""


class ItemUnchangedError(Exception):
    """The item still has the version that was read last, so its content was not transferred."""
