"""Retention times of all stored data except documents."""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


@dataclass(frozen=True)
class Retention:
    """Retention times in days.

    They count from the last use of a conversation, the end of a run, the closing of a batch, and the writing of a
    webhook message. `answers_days` applies to answers outside conversations. A paused run waits for `paused_days`.
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
    runs_kept_days: float = Field(90.0, gt=0, description="Days to keep a run after its end.")
    run_logs_kept_days: float = Field(
        30.0, gt=0, description="Days to keep the log of a run after its end. The cost is kept with the run."
    )
    batches_kept_days: float = Field(
        90.0, gt=0, description="Days to keep a batch of uploads after it was closed. Its documents are not deleted."
    )
    paused_days: float = Field(
        7.0,
        gt=0,
        description="Days that a run with an exhausted budget stays paused. It then finishes with its results so far.",
    )
    webhooks_kept_days: float = Field(
        30.0,
        gt=3,
        description="Days to keep webhook messages. During this time, they are listed and can be sent again.",
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
