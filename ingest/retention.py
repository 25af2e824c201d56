"""The retention times of answers and conversations."""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


@dataclass(frozen=True)
class Retention:
    """Days for which answers outside of conversations are kept, and conversations after their last use."""

    answers_days: float = 30.0
    conversations_days: float = 90.0


class RetentionSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    answers_kept_days: float = Field(
        30.0, gt=0, description="Days for which an answer is kept that belongs to no conversation."
    )
    conversations_kept_days: float = Field(
        90.0, gt=0, description="Days for which a conversation is kept, with its answers, after it was last used."
    )

    @property
    def retention(self) -> Retention:
        return Retention(self.answers_kept_days, self.conversations_kept_days)
