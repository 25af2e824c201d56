"""Settings of parsers."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.parsing.types import Isolation, ParserLimits


class ParserSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    parser_isolation: Isolation = Field(
        Isolation.BEST,
        description="`require`: no document is parsed where the kernel cannot confine its parser by Landlock and "
        "seccomp; `best`: it is confined by what the kernel has of the two.",
    )
    ocr_pages: int = Field(
        200,
        ge=0,
        le=10_000,
        description="In how many scanned pages or pages of an image text is recognized, for one document; others are "
        "left out and counted. A page takes seconds. Needs the extra `ocr`.",
    )

    @property
    def parser_limits(self) -> ParserLimits:
        """The limits for one document."""
        return ParserLimits(ocr_pages=self.ocr_pages)
