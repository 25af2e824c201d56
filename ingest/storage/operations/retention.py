"""The retention times of what is kept besides documents."""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


@dataclass(frozen=True)
class Retention:
    """Days for which things are kept: conversations after their last use, runs and their logs after they ended.

    Answers are those outside of conversations; batches count from when they were closed, and messages to webhooks from
    when they were written. A run that is paused waits for `paused_days`.
    """

    answers_days: float = 30.0
    conversations_days: float = 90.0
    runs_days: float = 90.0
    run_logs_days: float = 30.0
    batches_days: float = 90.0
    audit_days: float = 730.0
    webhooks_days: float = 30.0
    paused_days: float = 7.0


class RetentionSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    answers_kept_days: float = Field(
        30.0, gt=0, description="Days for which an answer is kept that belongs to no conversation."
    )
    conversations_kept_days: float = Field(
        90.0, gt=0, description="Days for which a conversation is kept, with its answers, after it was last used."
    )
    runs_kept_days: float = Field(90.0, gt=0, description="Days for which a run is kept after it ended.")
    run_logs_kept_days: float = Field(
        30.0, gt=0, description="Days for which the log of a run is kept after it ended; what it cost is kept with it."
    )
    batches_kept_days: float = Field(
        90.0, gt=0, description="Days for which a batch of uploads is kept after it was closed; its documents stay."
    )
    paused_days: float = Field(
        7.0, gt=0, description="Days for which a run waits whose budget is met; then it ends with what it has."
    )
    webhooks_kept_days: float = Field(
        30.0, gt=3, description="Days for which messages to webhooks are listed, and can be sent again."
    )
    audit_kept_days: float = Field(730.0, gt=0, description="Days for which entries of the audit log are kept.")

    @property
    def retention(self) -> Retention:
        return Retention(
            self.answers_kept_days,
            self.conversations_kept_days,
            self.runs_kept_days,
            self.run_logs_kept_days,
            self.batches_kept_days,
            self.audit_kept_days,
            self.webhooks_kept_days,
            self.paused_days,
        )
