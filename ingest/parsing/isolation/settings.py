"""Settings of parsers."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.parsing.types import EntryRoom, Isolation, ParserLimits


class ParserSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    parser_isolation: Isolation = Field(
        Isolation.BEST,
        description="`require`: no document is parsed where the kernel cannot confine its parser by Landlock and "
        "seccomp; `best`: it is confined by what the kernel has of the two.",
    )
    first_try_seconds: float = Field(
        10.0,
        gt=0,
        description="How long a document may take to become searchable before others go first. After that it is slow: "
        "it goes on while no other document waits for its worker, or in the turn of the slow ones.",
    )
    max_pages: int = Field(
        20_000,
        ge=1,
        le=1_000_000,
        description="How many pages or slides a document may have; one with more fails before any of them is read.",
    )
    ocr_pages: int = Field(
        200,
        ge=0,
        le=10_000,
        description="In how many scanned pages or pages of an image text is recognized, for one document; others are "
        "left out and counted. A page takes seconds. Needs the extra `ocr`.",
    )
    container_entries: int = Field(
        10_000,
        ge=0,
        le=100_000,
        description="How many files are taken out of an uploaded archive, mailbox or message, those in containers in "
        "it included; others are named and left out.",
    )
    container_bytes: int = Field(
        2 * 1024**3, ge=0, description="How many bytes may be taken out of one container, together."
    )
    container_levels: int = Field(
        3, ge=0, le=10, description="How deep containers in containers are opened; 1 opens only the uploaded one."
    )

    @property
    def entry_room(self) -> EntryRoom:
        """What may be taken out of an uploaded container."""
        return EntryRoom(self.container_entries, self.container_bytes, levels=self.container_levels)

    @property
    def parser_limits(self) -> ParserLimits:
        """The limits for one document."""
        return ParserLimits(pages=self.max_pages, ocr_pages=self.ocr_pages)
