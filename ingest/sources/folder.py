"""Folders of the server as sources, which may be mounted shares."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ingest.sources.errors import FolderNotPermittedError, SourceOptionsError
from ingest.sources.path_filter import DEFAULT_EXCLUDE, EXCLUDE_HELP, INCLUDE_HELP
from ingest.sources.port import Source, SourceContext, SourceKind
from ingest.storage.accounts.records import validate_subject
from ingest.storage.errors import IngestError

OWNERS_HELP = (
    "Who may read the files of an owner: a name of an owner, and users or groups such as `user:ann` and `group:hr`. "
    "The name `*` stands for all other owners; without it, nobody may read their files. If no owner is named, the "
    "access rules of the collection apply."
)


class FolderOptions(BaseModel):
    """Options of a folder."""

    model_config = ConfigDict(title="Folder")

    path: str = Field(
        title="Path of the folder",
        min_length=1,
        description="The path of the folder on the server, for example /srv/documents.",
    )
    marker: str = Field(
        "",
        title="File that is always there",
        description="The name of a file that is always in the folder. If it is missing, nothing is synchronized. Use "
        "it for a mounted share, because a share that is not mounted looks like an empty folder.",
    )
    include: tuple[str, ...] = Field((), title="Only these paths", description=INCLUDE_HELP)
    exclude: tuple[str, ...] = Field(DEFAULT_EXCLUDE, title="Leave out", description=EXCLUDE_HELP)
    owners: dict[str, frozenset[str]] = Field(
        {},
        title="Readers of the files of an owner",
        description=OWNERS_HELP + " An owner may also be a numeric user id.",
    )

    @field_validator("marker")
    @classmethod
    def _require_name(cls, marker: str) -> str:
        if "/" in marker or marker in (".", "..") or "\0" in marker:
            raise ValueError("must be the name of a file in the folder itself")
        return marker

    @field_validator("owners")
    @classmethod
    def _require_subjects(cls, owners: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        return validate_owners(owners)


def validate_owners(owners: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Return the owners with normalized subjects. Raises `ValueError` if a subject is invalid."""
    try:
        return {owner: frozenset(map(validate_subject, subjects)) for owner, subjects in owners.items()}
    except IngestError as error:
        raise ValueError(str(error)) from error


def select_readers(owners: dict[str, frozenset[str]], *names: str) -> frozenset[str] | None:
    """Return who may read the items of an owner, which has several names. None if no owners are mapped."""
    if not owners:
        return None
    # guard: source-unknown-owner
    return next((owners[name] for name in (*names, "*") if name in owners), frozenset())


def _build_source(options: FolderOptions, context: SourceContext) -> Source:
    from ingest.sources.folder_files import FolderSource, find_permitted_folder

    path = Path(options.path)
    if not path.is_absolute() or "\0" in options.path:
        raise SourceOptionsError(f"{options.path!r} is not an absolute path.", hint="Begin the path with `/`.")
    if find_permitted_folder(path, context.folders) is None:
        permitted = ", ".join(map(str, context.folders)) or "none"
        raise FolderNotPermittedError(
            f"Sources may not read the folder {options.path}. Permitted folders: {permitted}.",
            hint="Check the spelling of the path, or ask the operator to add it to `LEADLINE_SOURCE_FOLDERS`.",
        )
    return FolderSource(options, context)


FOLDER = SourceKind("folder", FolderOptions, _build_source)
