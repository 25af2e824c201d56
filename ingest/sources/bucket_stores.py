"""Opens the stores of buckets, with the credentials of a source and nothing from the service's own environment.

The library reads variables such as `AWS_ENDPOINT_URL`, `GOOGLE_BEARER_TOKEN` and `AZURE_STORAGE_USE_EMULATOR`, and asks
the machine for its role. Both would lend the service's rights to a source. A provider of credentials takes precedence
over all of these, and each other option that a request depends on is set here, because what is not set is read from the
environment.
"""

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import jwt
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, S3Store

from ingest.sources.errors import SourceOptionsError

if TYPE_CHECKING:
    from obstore.store import (
        AzureConfig,
        AzureCredential,
        ClientConfig,
        GCSConfig,
        GCSCredential,
        RetryConfig,
        S3Config,
        S3Credential,
    )

    from ingest.sources.buckets import AzureOptions, GcsOptions, S3Options

_RETRIES = 2
# A request with its body may take this many times as long as its first byte.
_BODY_TIMEOUTS = 10
_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
# The longest life of a token that Google accepts (https://google.aip.dev/auth/4111).
_TOKEN_SECONDS = 3600


def open_s3(options: "S3Options", endpoint: str, timeout_seconds: float) -> S3Store:
    """Open a bucket on a server with the protocol of S3. Raises `SourceOptionsError` if the keys are invalid."""
    key, secret = options.access_key_id.get_secret_value(), options.secret_access_key.get_secret_value()
    config: S3Config = {
        # This takes precedence over `endpoint`.
        # guard: source-bucket-endpoint
        "aws_endpoint_url_s3": endpoint,
        "region": options.region,
        "skip_signature": not key,
        "unsigned_payload": False,
        "virtual_hosted_style_request": False,
        "s3_express": False,
        "request_payer": False,
        # With `sse-c`, a customer's key would be sent when an object is read. This value applies to writing alone.
        "server_side_encryption": "AES256",
    }

    def provide_key() -> "S3Credential":
        return {"access_key_id": key, "secret_access_key": secret, "token": None, "expires_at": None}

    with _translate_errors():
        return S3Store(
            options.bucket,
            config=config,
            client_options=_build_client(endpoint, timeout_seconds),
            retry_config=_build_retry(timeout_seconds),
            # guard: source-bucket-credentials
            credential_provider=provide_key,
        )


def open_gcs(options: "GcsOptions", endpoint: str, timeout_seconds: float) -> GCSStore:
    """Open a bucket on Google Cloud Storage. Raises `SourceOptionsError` if the key is invalid."""
    secret = options.service_account_key.get_secret_value()
    account = _ServiceAccount(secret) if secret else None
    config: GCSConfig = {"base_url": endpoint, "skip_signature": account is None}

    def provide_token() -> "GCSCredential":
        return account.sign_token() if account is not None else {"token": "", "expires_at": None}

    with _translate_errors():
        return GCSStore(
            options.bucket,
            config=config,
            client_options=_build_client(endpoint, timeout_seconds),
            retry_config=_build_retry(timeout_seconds),
            credential_provider=provide_token,
        )


def open_azure(options: "AzureOptions", endpoint: str, timeout_seconds: float) -> AzureStore:
    """Open a container on Azure Blob Storage. Raises `SourceOptionsError` if the credentials are invalid."""
    key, token = options.account_key.get_secret_value(), options.sas_token.get_secret_value().removeprefix("?")
    _require_azure_form(key, token)
    config: AzureConfig = {
        "account_name": options.account,
        "endpoint": endpoint,
        "skip_signature": not key and not token,
        "use_emulator": False,
        "use_fabric_endpoint": False,
        "credential_type": "auto",
    }

    def provide_credential() -> "AzureCredential":
        return {"access_key": key, "expires_at": None} if key else {"sas_token": token, "expires_at": None}

    with _translate_errors():
        return AzureStore(
            options.container,
            config=config,
            client_options=_build_client(endpoint, timeout_seconds),
            retry_config=_build_retry(timeout_seconds),
            credential_provider=provide_credential,
        )


class _ServiceAccount:
    """Signs tokens that may read, with the key of a service account (https://google.aip.dev/auth/4111).

    Of the key file, only the key is used: its other fields include addresses.
    """

    def __init__(self, key_file: str) -> None:
        try:
            fields = json.loads(key_file)
            self._email, self._key = str(fields["client_email"]), str(fields["private_key"])
            self._key_id = str(fields["private_key_id"])
            self.sign_token()
        except (ValueError, TypeError, KeyError, jwt.PyJWTError) as error:
            raise SourceOptionsError(
                "The key of the service account is invalid.", hint="Enter the whole content of its JSON key file."
            ) from error

    def sign_token(self) -> "GCSCredential":
        now = int(time.time())
        expiry = now + _TOKEN_SECONDS
        claims = {"iss": self._email, "sub": self._email, "scope": _SCOPE, "iat": now, "exp": expiry}
        token = jwt.encode(claims, self._key, "RS256", {"kid": self._key_id})
        return {"token": token, "expires_at": datetime.fromtimestamp(expiry, UTC)}


def _require_azure_form(key: str, token: str) -> None:
    try:
        base64.b64decode(key, validate=True)
    except ValueError as error:
        raise SourceOptionsError("The account key is invalid.", hint="Copy it from the storage account.") from error
    if token and "sig" not in dict(parse_qsl(token)):
        raise SourceOptionsError("The SAS token is invalid.", hint="It looks like `sv=2024-11-04&sp=rl&…&sig=…`.")


def _build_client(endpoint: str, timeout_seconds: float) -> "ClientConfig":
    seconds = timedelta(seconds=timeout_seconds)
    return {
        "allow_http": endpoint.startswith("http://"),
        "allow_invalid_certificates": False,
        "connect_timeout": seconds,
        # This restarts with the bytes that arrive, and the other ends a response of single bytes.
        "read_timeout": seconds,
        "timeout": seconds * _BODY_TIMEOUTS,
        "user_agent": "Leadline",
    }


def _build_retry(timeout_seconds: float) -> "RetryConfig":
    return {"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=timeout_seconds)}


@contextmanager
def _translate_errors() -> Iterator[None]:
    try:
        yield
    except (BaseError, ValueError) as error:
        raise SourceOptionsError(
            "The library of buckets does not accept the options.",
            hint="Check the credentials. If they are right, ask the operators to check the service's environment.",
        ) from error
