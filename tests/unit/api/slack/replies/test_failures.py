"""Errors in words for people, not for programs."""

import pytest

from api.answers.wording import describe_failure
from api.languages.catalogue import Texts
from api.slack.replies.failures import describe_error
from ingest.storage.quotas.records import Quota, QuotaExceededError, QuotaStatus


@pytest.mark.parametrize(
    ("quota", "expected"),
    [
        (Quota.TOKENS_PER_DAY, "Today’s questions are used up."),
        (Quota.DOLLARS_PER_MONTH, "This month’s questions are used up."),
        (Quota.BYTES, "The limit for the size of all files is reached."),
        (Quota.RUNS_AT_ONCE, "A limit is reached."),
    ],
)
def test_a_quota_is_explained_without_the_words_of_the_api(quota: Quota, expected: str) -> None:
    error = QuotaExceededError("The tenant's quota is used.", status=QuotaStatus(quota, "tenant", 1, 1), retry_after=9)
    assert describe_error(error, Texts("en")) == (expected, "Your administrator can raise the limit.")


def test_the_failures_of_runs_are_explained_and_others_keep_their_words() -> None:
    away = describe_failure("language_model_unavailable", "ConnectError", "See the log.", Texts("de"))
    assert away[0] == "Das Sprachmodell ist zurzeit nicht verfügbar."
    assert describe_failure("corpus_error", "Nothing to read.", "Choose a file.", Texts("en")) == (
        "Nothing to read.",
        "Choose a file.",
    )
