"""Amounts of quotas: how they are written, and what cannot be one."""

from decimal import Decimal

import pytest

from ingest.storage.quotas.records import NANODOLLARS, Quota, parse_quotas, to_nanodollars


def test_quotas_are_written_as_people_count() -> None:
    written = "tokens_per_day=2.5m requests_per_minute=60 bytes=10g dollars_per_month=12.50 documents=1_000"
    assert parse_quotas(written) == {
        Quota.TOKENS_PER_DAY: 2_500_000,
        Quota.REQUESTS_PER_MINUTE: 60,
        Quota.BYTES: 10_000_000_000,
        Quota.DOLLARS_PER_MONTH: 12_500_000_000,
        Quota.DOCUMENTS: 1_000,
    }
    assert parse_quotas("") == {}


@pytest.mark.parametrize(
    "written",
    [
        "tokens=5",
        "tokens_per_day",
        "tokens_per_day=",
        "bytes=-1",
        "bytes=1.5",
        "bytes=nan",
        "bytes=inf",
        "bytes=10000t0",
        "dollars_per_day=1m",
        "dollars_per_day=99999999999",
    ],
)
def test_what_is_no_quota_or_no_amount_is_refused_by_name(written: str) -> None:
    with pytest.raises(ValueError, match=written.partition("=")[0]):
        parse_quotas(written)


def test_money_is_counted_in_whole_nanodollars_and_never_too_little() -> None:
    assert to_nanodollars(Decimal("0.0375") / 1_000_000) == 38
    assert Quota.DOLLARS_PER_DAY.format_amount(NANODOLLARS // 2) == "$0.50"
    assert Quota.DOLLARS_PER_DAY.to_json_number(NANODOLLARS // 2) == 0.5
    assert Quota.TOKENS_PER_DAY.format_amount(12_345) == "12,345"
