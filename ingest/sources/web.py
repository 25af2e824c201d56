"""Web sites as sources: the pages in a sitemap, or the pages below an address that links lead to."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from ingest.sources.errors import SourceOptionsError
from ingest.sources.port import Source, SourceContext, SourceKind


class WebOptions(BaseModel):
    """Options of a web site."""

    model_config = ConfigDict(title="Web site")

    url: str = Field(title="Address", description="The address at which to start, or the address of the sitemap.")
    find: Literal["links", "sitemap"] = Field(
        "links",
        title="Find pages by",
        description="How pages are found: by the links on the pages below the address, or by the site's sitemap.",
        json_schema_extra={"labels": {"links": "Links on the pages", "sitemap": "Sitemap of the site"}},
    )
    max_pages: int = Field(
        10_000,
        title="Maximum number of pages",
        ge=1,
        le=1_000_000,
        description="The maximum number of addresses. A larger site is not synchronized.",
    )
    max_depth: int = Field(
        20,
        title="Maximum number of links from the address",
        ge=0,
        le=1_000,
        description="Pages that are more links than this away from the address are left out.",
    )
    include: tuple[str, ...] = Field(
        (),
        title="Only these paths",
        description="Only pages whose path matches one of these patterns are read, for example `/docs/*.pdf`.",
    )
    exclude: tuple[str, ...] = Field(
        (),
        title="Leave out",
        description="Pages whose path matches one of these patterns are not read, and their links not followed.",
    )
    ignore_query: bool = Field(
        False,
        title="Ignore what follows the question mark",
        description="Addresses that differ only in the part after the question mark are the same page.",
    )
    username: str = Field(
        "", title="User name", description="The user name, if the site asks for one (HTTP Basic authentication)."
    )
    password: SecretStr = Field(SecretStr(""), title="Password", description="The password of this user.")


def _build_source(options: WebOptions, context: SourceContext) -> Source:
    from ingest.sources.checked_http import check_address
    from ingest.sources.web_addresses import complete_url
    from ingest.sources.web_site import WebSource

    start = complete_url(options.url)
    if start is None:
        raise SourceOptionsError(f"{options.url!r} is not the address of a web page, such as https://a.org/docs/.")
    check_address(start, context)
    return WebSource(start, options, context)


WEB = SourceKind("web", WebOptions, _build_source)
