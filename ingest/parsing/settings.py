"""Settings of parsers."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.parsing.types import Isolation


class ParserSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    parser_isolation: Isolation = Field(
        Isolation.BEST,
        description="`require`: no document is parsed where the kernel cannot confine its parser by Landlock and "
        "seccomp; `best`: it is confined by what the kernel has of the two.",
    )
