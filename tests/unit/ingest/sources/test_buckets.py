"""The options of buckets: parts of host names, credentials, and the servers that operators permit."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from ingest.sources.buckets import AzureOptions, GcsOptions, S3Options
from ingest.sources.endpoints import normalize_endpoint
from ingest.sources.errors import SourceOptionsError
from ingest.sources.port import Source, SourceContext
from ingest.sources.registry import SOURCE_KINDS
from ingest.sources.settings import SourceSettings
from ingest.storage.webhooks.destinations import Destinations

NAMES: dict[str, dict[str, Any]] = {
    "s3": {"bucket": "reports"},
    "gcs": {"bucket": "reports"},
    "azure": {"account": "acme", "container": "reports"},
}


def build(kind: str, *, endpoints: str = "", **options: object) -> Source:
    found = SOURCE_KINDS[kind]
    permitted = SourceSettings(source_endpoints=endpoints).list_source_endpoints()
    context = SourceContext(Destinations(), Path("/nonexistent"), endpoints=permitted)
    return found.build(found.options.model_validate({**NAMES[kind], **options}), context)


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1", "auto"])
def test_regions_of_the_providers_are_accepted(region: str) -> None:
    assert S3Options(bucket="reports", region=region).region == region


@pytest.mark.parametrize(
    "region", ["", "evil.org/", "evil.org#", "a.b", "a@b", "a:1", "eu-west-1\n", "EU", "-a", "a" * 64, "é"]
)
def test_a_region_cannot_change_the_host_name(region: str) -> None:
    with pytest.raises(ValidationError):
        S3Options(bucket="reports", region=region)


@pytest.mark.parametrize(
    "account", ["ab", "evil.org", "evil/", "a#b", "acme@evil", "Acme", "acme\n", "a" * 25, "ac-me"]
)
def test_an_account_cannot_change_the_host_name(account: str) -> None:
    with pytest.raises(ValidationError):
        AzureOptions(account=account, container="reports")


@pytest.mark.parametrize("name", ["", "a/b", "../b", "a?b", "a#b", "a b", "a%2fb", "reports\n", ".."])
def test_names_of_buckets_are_no_paths(name: str) -> None:
    for build_options in (
        lambda: S3Options(bucket=name),
        lambda: GcsOptions(bucket=name),
        lambda: AzureOptions(account="acme", container=name),
    ):
        with pytest.raises(ValidationError):
            build_options()


@pytest.mark.parametrize("name", ["$root", "$web", "a-1", "reports"])
def test_containers_of_azure_are_accepted(name: str) -> None:
    assert AzureOptions(account="acme", container=name).container == name


@pytest.mark.parametrize("prefix", ["a//b", "../a", "a/..", "./a"])
def test_a_folder_has_no_odd_parts(prefix: str) -> None:
    with pytest.raises(ValidationError):
        S3Options(bucket="reports", prefix=prefix)


@pytest.mark.parametrize("kind", NAMES)
def test_all_options_are_described_and_credentials_are_secrets(kind: str) -> None:
    fields = SOURCE_KINDS[kind].options.model_fields
    assert all(field.description for field in fields.values())
    secrets = {name for name, field in fields.items() if field.annotation is SecretStr}
    assert secrets == {name for name in fields if "key" in name or "token" in name}


@pytest.mark.parametrize("kind", NAMES)
def test_only_servers_that_operators_permit_are_used(kind: str) -> None:
    build(kind)  # The provider's own.
    build(kind, endpoint="https://STORE.example.org:443/a/", endpoints="http://b.org, https://store.example.org/a")
    for endpoint in (
        "https://store.example.org",
        "http://169.254.169.254",
        "file:///etc",
        "store",
        "https://a:b@c.org",
    ):
        with pytest.raises(SourceOptionsError):
            build(kind, endpoint=endpoint, endpoints="https://store.example.org/a,http://c.org")
    for endpoint in (
        "http://c.org.evil.org",
        "http://c.org:81",
        "https://c.org",
        "http://c.org/x",
        "http://c.org@evil.org",
    ):
        with pytest.raises(SourceOptionsError):
            build(kind, endpoint=endpoint, endpoints="http://c.org")


@pytest.mark.parametrize(
    "url", ["", "a.org", "ftp://a.org", "https://", "https://a.org?b", "https://a.org/../b", "//a"]
)
def test_an_address_of_a_server_that_is_invalid_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"has more than|not an address"):
        normalize_endpoint(url)


def test_addresses_are_compared_in_one_form() -> None:
    assert normalize_endpoint(" HTTPS://A.org/ ") == normalize_endpoint("https://a.org:443") == "https://a.org:443"
    assert normalize_endpoint("http://[::1]:9000/x/") == "http://[::1]:9000/x"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("s3", {"access_key_id": "id"}),
        ("s3", {"secret_access_key": "the-secret"}),
        ("gcs", {"service_account_key": "the-secret"}),
        ("gcs", {"service_account_key": '{"client_email": "a", "private_key_id": "b", "private_key": "the-secret"}'}),
        ("gcs", {"service_account_key": '["the-secret"]'}),
        ("azure", {"account_key": "the-secret!"}),
        ("azure", {"sas_token": "the-secret"}),
        ("azure", {"account_key": "b3du", "sas_token": "sp=rl&sig=the-secret"}),
    ],
)
def test_incomplete_or_invalid_credentials_are_refused_and_not_repeated(kind: str, options: dict[str, str]) -> None:
    with pytest.raises(SourceOptionsError) as refused:
        build(kind, **options)
    assert "the-secret" not in f"{refused.value.detail} {refused.value.hint}"


def test_credentials_are_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    source = build("s3", access_key_id="the-id", secret_access_key="the-secret")
    assert "the-secret" not in repr(vars(source))
