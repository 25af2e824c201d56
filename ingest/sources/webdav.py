"""WebDAV folders as sources: those of Nextcloud and ownCloud, SharePoint, and web servers such as Apache."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from ingest.sources.errors import SourceOptionsError
from ingest.sources.folder import OWNERS_HELP, validate_owners
from ingest.sources.path_filter import DEFAULT_EXCLUDE, EXCLUDE_HELP, INCLUDE_HELP
from ingest.sources.port import Source, SourceContext, SourceKind


class WebDavOptions(BaseModel):
    """Options of a WebDAV folder."""

    model_config = ConfigDict(title="WebDAV folder")

    url: str = Field(
        title="Address",
        description="The WebDAV address of the folder. In Nextcloud, it begins with "
        "`https://HOST/remote.php/dav/files/USER/`.",
    )
    username: str = Field(
        "", title="User name", description="The user name, if the server asks for one (HTTP Basic authentication)."
    )
    password: SecretStr = Field(
        SecretStr(""), title="Password", description="The password of this user. In Nextcloud, create an app password."
    )
    include: tuple[str, ...] = Field((), title="Only these paths", description=INCLUDE_HELP)
    exclude: tuple[str, ...] = Field(DEFAULT_EXCLUDE, title="Leave out", description=EXCLUDE_HELP)
    owners: dict[str, frozenset[str]] = Field(
        {},
        title="Readers of the files of an owner",
        description=OWNERS_HELP + " The server must tell the owners, as Nextcloud and ownCloud do.",
    )

    @field_validator("owners")
    @classmethod
    def _require_subjects(cls, owners: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
        return validate_owners(owners)


def _build_source(options: WebDavOptions, context: SourceContext) -> Source:
    from ingest.sources.checked_http import check_address
    from ingest.sources.web_addresses import complete_url
    from ingest.sources.webdav_paths import parse_root
    from ingest.sources.webdav_source import WebDavSource

    url = complete_url(options.url)
    root = None if url is None else parse_root(url)
    if url is None or root is None:
        raise SourceOptionsError(f"{options.url!r} is not the address of a folder, such as https://a.org/dav/docs/.")
    check_address(url, context)
    return WebDavSource(root, options, context)


WEBDAV = SourceKind("webdav", WebDavOptions, _build_source)
