"""Settings of parsers."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.parsing.types import EntryRoom, Isolation, ParserLimits


class ParserSettings(BaseSettings):
    """Settings of parsers, from environment variables with the prefix `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    parser_isolation: Isolation = Field(
        Isolation.BEST,
        description="`require`: documents are parsed only if the kernel can confine parsers with both Landlock and "
        "seccomp. `best`: parsers are confined by those of the two that the kernel supports.",
    )
    first_try_seconds: float = Field(
        10.0,
        gt=0,
        description="How long a document may take to become searchable before others take precedence. After that it "
        "counts as slow: it continues while no other document waits for its worker, or in the turn of slow documents.",
    )
    max_pages: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="Maximum number of pages or slides in a document. A longer document fails before any page is read.",
    )
    ocr_pages: int = Field(
        200,
        ge=0,
        le=10_000,
        description="Maximum number of scanned pages or image pages in which text is recognized, for one document. "
        "Further pages are left out and counted. A page takes seconds. Needs the extra `ocr`.",
    )
    container_entries: int = Field(
        10_000,
        ge=0,
        le=100_000,
        description="Maximum number of files extracted from an uploaded archive, mailbox or message, including files "
        "in nested containers. Further files are listed but not extracted.",
    )
    container_bytes: int = Field(
        2 * 1024**3, ge=0, description="Maximum total size in bytes of the files extracted from one container."
    )
    container_levels: int = Field(
        3, ge=0, le=10, description="Maximum depth of nested containers that are opened; 1 opens only the uploaded one."
    )

    @property
    def entry_room(self) -> EntryRoom:
        """The limits for entries of an uploaded container."""
        return EntryRoom(self.container_entries, self.container_bytes, levels=self.container_levels)

    @property
    def parser_limits(self) -> ParserLimits:
        """The limits for one document."""
        return ParserLimits(pages=self.max_pages, ocr_pages=self.ocr_pages)
