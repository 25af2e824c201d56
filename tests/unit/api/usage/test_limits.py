"""The limits of quotas over HTTP: those in force, their defaults, and who may change them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.storage.accounts.records import Scope
from ingest.storage.quotas.records import Account, Quota
from tests.support.asking import AskedApi, asked_api


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


def find_limit(found: dict[str, list[dict[str, object]]], quota: str, of: str = "tenant") -> object:
    (limit,) = [each["limit"] for each in found["limits"] if (each["quota"], each["of"]) == (quota, of)]
    return limit


def test_an_operator_sees_and_changes_every_limit_of_a_tenant(api: AskedApi) -> None:
    _, key = api.services.keys.issue_key("ann", "an operator", scopes=[Scope.OPERATOR, Scope.READ, Scope.ADMIN])
    headers = {"Authorization": f"Bearer {key}"}
    path = "/v1/tenants/ann/quotas"
    assert find_limit(api.http.get(path, headers=headers).json(), "requests_per_minute") is None
    body = {"limits": {"requests_per_minute": 100, "dollars_per_month": 12.5}}
    made = api.http.put(path, json=body, headers=headers).json()
    assert find_limit(made, "requests_per_minute") == 100
    assert find_limit(made, "dollars_per_month") == 12.5
    again = api.http.put(path, json={"limits": {"dollars_per_month": "default"}}, headers=headers).json()
    assert find_limit(again, "dollars_per_month") is None
    assert find_limit(api.http.get("/v1/quotas", headers=headers).json(), "requests_per_minute") == 100
    log = api.http.get("/v1/audit", params={"action": "quota.changed"}, headers=headers).json()["entries"]
    assert [sorted(entry["details"]) for entry in log] == [["reset"], ["limits"]]


def test_an_admin_who_is_no_operator_cannot_change_the_limits_of_the_tenant(api: AskedApi) -> None:
    refused = api.http.put("/v1/tenants/ann/quotas", json={"limits": {"documents": 1}})
    assert refused.status_code == 403
    assert find_limit(api.get("/v1/quotas"), "documents") is None


def test_an_admin_lowers_the_limits_of_the_own_tenant_and_no_further_than_its_operator_allows(api: AskedApi) -> None:
    quotas = api.services.admission.meter.quotas
    quotas.set_limits(Account("ann"), {Quota.DOCUMENTS: 10})
    made = api.http.put("/v1/quotas", json={"limits": {"documents": 4, "tokens_per_day": 2_000_000}}).json()
    assert (find_limit(made, "documents"), find_limit(made, "tokens_per_day")) == (4, 2_000_000)
    (documents,) = [each for each in made["limits"] if (each["quota"], each["of"]) == ("documents", "tenant")]
    assert (documents["allowed"], documents["used"]) == (10, 0)
    refused = api.http.put("/v1/quotas", json={"limits": {"documents": 11}})
    assert refused.status_code == 400
    assert "at most 10" in refused.json()["detail"]
    back = api.http.put("/v1/quotas", json={"limits": {"documents": None, "tokens_per_day": "default"}}).json()
    assert (find_limit(back, "documents"), find_limit(back, "tokens_per_day")) == (10, None)
    assert not any(quotas.load_limits(Account(each)).get("tenant") for each in ("ben", "default"))


def test_nobody_but_an_admin_sets_the_limits_of_the_own_tenant(api: AskedApi) -> None:
    _, key = api.services.keys.issue_key("ann", "a reader", scopes=[Scope.READ, Scope.ASK, Scope.WRITE])
    headers = {"Authorization": f"Bearer {key}"}
    assert api.http.put("/v1/quotas", json={"limits": {"documents": 1}}, headers=headers).status_code == 403
    assert find_limit(api.get("/v1/quotas"), "documents") is None
