"""Parser settings."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.parsing.types import EntryLimits, Isolation, ParserLimits


class ParserSettings(BaseSettings):
    """Parser settings, from environment variables with the prefix `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    parser_isolation: Isolation = Field(
        Isolation.BEST,
        description="`require`: documents are parsed only if the kernel can confine parsers with both Landlock and "
        "seccomp. `best`: parsers are confined with whichever of the two the kernel supports.",
    )
    first_try_seconds: float = Field(
        10.0,
        gt=0,
        description="How long a document may take to become searchable before other documents take precedence. After "
        "that it counts as slow: it continues when no other document is waiting for its worker, or when it is the turn "
        "of the slow documents.",
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
        description="Maximum number of scanned pages or image pages per document in which text is recognized. Further "
        "pages are left out and counted. Each page takes several seconds. Requires the `ocr` extra.",
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
        3, ge=0, le=10, description="Maximum nesting depth of containers to open; 1 opens only the uploaded container."
    )

    @property
    def entry_limits(self) -> EntryLimits:
        """The limits on the entries of an uploaded container."""
        return EntryLimits(self.container_entries, self.container_bytes, levels=self.container_levels)

    @property
    def parser_limits(self) -> ParserLimits:
        """The limits for one document."""
        return ParserLimits(pages=self.max_pages, ocr_pages=self.ocr_pages)
