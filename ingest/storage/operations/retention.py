"""Retention times of all stored data other than documents."""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


@dataclass(frozen=True)
class Retention:
    """Retention times in days.

    Conversations are retained from their last use, runs and their logs from their end. `answers_days` applies to
    answers outside conversations. The time starts when a batch is closed and when a webhook message is written. A
    paused run waits for `paused_days`.
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
    """Settings from environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    answers_kept_days: float = Field(30.0, gt=0, description="Days to keep an answer that belongs to no conversation.")
    conversations_kept_days: float = Field(
        90.0, gt=0, description="Days to keep a conversation and its answers after its last use."
    )
    runs_kept_days: float = Field(90.0, gt=0, description="Days to keep a run after it ended.")
    run_logs_kept_days: float = Field(
        30.0, gt=0, description="Days to keep the log of a run after it ended. Its cost is kept with the run."
    )
    batches_kept_days: float = Field(
        90.0, gt=0, description="Days to keep a batch of uploads after it was closed. Its documents stay."
    )
    paused_days: float = Field(
        7.0,
        gt=0,
        description="Days that a run whose budget is used up stays paused. It then finishes with the results it has.",
    )
    webhooks_kept_days: float = Field(
        30.0, gt=3, description="Days to keep webhook messages. Until then they are listed and can be sent again."
    )
    audit_kept_days: float = Field(730.0, gt=0, description="Days to keep entries of the audit log.")

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
