"""Git repositories as sources: the files of one branch."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from ingest.sources.errors import SourceOptionsError
from ingest.sources.path_filter import DEFAULT_EXCLUDE, EXCLUDE_HELP, INCLUDE_HELP
from ingest.sources.port import Source, SourceContext, SourceKind


class GitOptions(BaseModel):
    """Options of a Git repository."""

    model_config = ConfigDict(title="Git repository")

    url: str = Field(
        title="Address",
        min_length=1,
        description="The address that `git clone` uses, for example https://example.org/team/handbook.git.",
    )
    branch: str = Field(
        "", title="Branch", max_length=250, description="The branch. By default, the main branch of the repository."
    )
    path: str = Field(
        "",
        title="Folder",
        description="The folder in the repository to read, for example `docs`. By default, the whole repository.",
    )
    include: tuple[str, ...] = Field((), title="Only these paths", description=INCLUDE_HELP)
    exclude: tuple[str, ...] = Field(DEFAULT_EXCLUDE, title="Leave out", description=EXCLUDE_HELP)
    username: str = Field(
        "",
        title="User name",
        description="The user name, if the repository is private. With a token, many servers accept any name.",
    )
    password: SecretStr = Field(
        SecretStr(""),
        title="Password",
        description="The password of this user, or an access token that may read the repository.",
    )

    @field_validator("branch")
    @classmethod
    def _require_branch(cls, branch: str) -> str:
        if not branch.isprintable() or " " in branch:
            raise ValueError("must be the name of a branch")
        return branch.removeprefix("refs/heads/")

    @field_validator("path")
    @classmethod
    def _require_path(cls, path: str) -> str:
        path = path.strip("/")
        if path and not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise ValueError("must be the path of a folder in the repository")
        return path


def _build_source(options: GitOptions, context: SourceContext) -> Source:
    from ingest.sources.checked_http import check_address
    from ingest.sources.git_source import GitSource

    url = options.url.strip().rstrip("/")
    if not url.startswith(("https://", "http://")) or "?" in url or "#" in url or urlsplit(url).path in ("", "/"):
        raise SourceOptionsError(
            f"{options.url!r} is not the address of a repository.",
            hint="Enter the address for cloning over HTTPS, such as https://example.org/team/handbook.git.",
        )
    check_address(url, context)
    return GitSource(url, options, context)


GIT = SourceKind("git", GitOptions, _build_source)
