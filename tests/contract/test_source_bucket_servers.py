"""Servers of buckets that refuse, lie or break off, and requests that have nothing of the service's own rights."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import closing
from itertools import count, islice
from pathlib import Path

import jwt
import obstore
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ingest.sources.errors import ItemRefusedError, SourceRefusedError, SourceUnavailableError
from ingest.sources.port import Source, SourceContext, SourceItem
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destinations
from tests.support.bucket_servers import build_service_account_key
from tests.support.scripted_bucket import (
    Answer,
    Request,
    ScriptedBucket,
    build_error,
    build_object,
    build_page,
    open_scripted_bucket,
)

ABSENT = build_error(404, "NoSuchKey")
ITEM = SourceItem("a.txt", "a.txt", "one", 4)
# The sources that a test makes of each kind: with credentials, and of a public bucket.
OPTIONS: dict[str, dict[str, object]] = {
    "s3": {"access_key_id": "own-key", "secret_access_key": "own-secret"},
    "s3 public": {},
    "gcs": {"service_account_key": build_service_account_key()},
    "gcs public": {},
    "azure": {"account": "ownaccount", "account_key": "b3du"},
    "azure with a token": {"account": "ownaccount", "sas_token": "?sv=2024-11-04&sp=rl&sig=own%3D"},
    "azure public": {"account": "ownaccount"},
}


@pytest.fixture
def server() -> Iterator[ScriptedBucket]:
    with open_scripted_bucket(lambda request: ABSENT) as server:
        script(server)
        yield server


def build_source(server: ScriptedBucket, scratch: Path, which: str = "s3") -> Source:
    kind = SOURCE_KINDS[which.split()[0]]
    name = {"container" if kind.name == "azure" else "bucket": "bucket", "endpoint": server.url}
    context = SourceContext(
        Destinations(), scratch, endpoints=frozenset({server.url}), timeout_seconds=2, max_item_bytes=1_000_000
    )
    return kind.build(kind.options.model_validate({**name, **OPTIONS[which]}), context)


@pytest.fixture
def source(server: ScriptedBucket, tmp_path: Path) -> Iterator[Source]:
    with closing(build_source(server, tmp_path)) as source:
        yield source


def read(source: Source, item: SourceItem = ITEM) -> bytes:
    with source.open_item(item) as opened:
        return b"".join(opened.blocks)


def script(server: ScriptedBucket, *, lists: Answer | None = None, objects: Answer | None = None) -> None:
    page, found = lists or build_page({"a.txt": 4}), objects or build_object(b"text")
    server.answer = lambda request: page if request.is_list else found if request.path.endswith("a.txt") else ABSENT


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, SourceRefusedError) for status in (301, 400, 401, 403, 405)),
        *((status, SourceUnavailableError) for status in (404, 429, 500, 503)),
    ],
)
def test_a_list_that_breaks_off_is_an_error(
    server: ScriptedBucket, source: Source, status: int, expected: type[Exception]
) -> None:
    first = build_page({"a.txt": 4}, next_page="two")
    server.answer = lambda request: build_error(status) if "continuation-token" in request.query else first
    with pytest.raises(expected, match=f"{status}|region|not found"):
        list(source.list_items())
    assert any("continuation-token" in request.query for request in server.seen)


@pytest.mark.parametrize("body", [b"", b"<html>Sign in</html>", b"not a list"])
def test_an_answer_that_is_no_list_is_an_error_and_not_an_empty_list(
    server: ScriptedBucket, source: Source, body: bytes
) -> None:
    server.answer = lambda request: Answer(200, body)
    with pytest.raises(SourceUnavailableError):
        list(source.list_items())


def test_a_long_list_is_read_page_by_page(server: ScriptedBucket, source: Source) -> None:
    pages = count()

    def answer(request: Request) -> Answer:
        number = next(pages)
        return build_page({f"{number:05}/{n:04}.txt": 4 for n in range(1_000)}, next_page=f"after-{number}")

    server.answer = answer
    assert len(list(islice(source.list_items(), 5_000))) == 5_000
    assert len(server.seen) <= 7


@pytest.mark.parametrize("status", [400, 401, 403, 409])
def test_an_object_that_is_refused_is_not_the_whole_bucket(server: ScriptedBucket, source: Source, status: int) -> None:
    script(server, objects=build_error(status, "InvalidObjectState"))
    with pytest.raises(ItemRefusedError, match=rf"a\.txt cannot be read: status {status} \(InvalidObjectState\)"):
        read(source)
    script(server, objects=build_error(status), lists=build_error(403, "AccessDenied"))
    with pytest.raises(SourceRefusedError, match=r"403 \(AccessDenied\)"):
        read(source)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_overloaded_is_away(server: ScriptedBucket, source: Source, status: int) -> None:
    script(server, objects=build_error(status))
    with pytest.raises(SourceUnavailableError, match=str(status)):
        read(source)
    assert sum(not request.is_list for request in server.seen) == 3


def test_an_object_that_is_shorter_than_it_announced_is_never_read(server: ScriptedBucket, source: Source) -> None:
    cut = build_object(b"te", Content_Length="4")
    script(server, objects=Answer(cut.status, cut.body, cut.headers, is_cut=True))
    with pytest.raises((ItemRefusedError, SourceUnavailableError)):
        read(source)


def test_an_object_that_changes_while_its_rest_is_requested_is_never_mixed(
    server: ScriptedBucket, source: Source
) -> None:
    """The library asks for the rest of an object if the connection breaks."""
    new = b"n" * 400_000

    def answer(request: Request) -> Answer:
        if request.is_list:
            return build_page({"a.txt": 400_000})
        if "range" not in request.headers:
            cut = build_object(b"o" * 200_000, "one", Content_Length="400000")
            return Answer(cut.status, cut.body, cut.headers, is_cut=True)
        changed = build_object(new[200_000:], "two", Content_Range="bytes 200000-399999/400000")
        return Answer(206, changed.body, changed.headers)

    server.answer = answer
    with pytest.raises((ItemRefusedError, SourceUnavailableError)):
        read(source)
    assert any("range" in request.headers for request in server.seen)


def test_sizes_are_those_of_the_answer_and_limited(server: ScriptedBucket, source: Source) -> None:
    script(server, lists=build_page({"a.txt": 10**12}), objects=build_object(b"text"))
    (listed,) = source.list_items()
    with source.open_item(listed) as opened:
        assert (opened.item.size_bytes, b"".join(opened.blocks)) == (4, b"text")
    script(server, objects=build_object(b"x" * 1_000_001))
    with pytest.raises(ItemRefusedError, match="1,000,001 bytes"):
        read(source)
    script(server, objects=build_object(b"text", Content_Length=None))
    with pytest.raises(ItemRefusedError, match="cannot be read"):
        read(source)


def test_an_object_without_an_etag_has_its_size_and_date_as_its_version(server: ScriptedBucket, source: Source) -> None:
    page = build_page({"a.txt": 4})
    plain = page.body.replace(b"<ETag>&quot;one&quot;</ETag>", b"")
    script(server, lists=Answer(200, plain), objects=build_object(b"text", ETag=None))
    (listed,) = source.list_items()
    with source.open_item(listed) as opened:
        assert opened.item.version == listed.version == "4-1767225600"


def test_an_error_shows_no_token(server: ScriptedBucket, tmp_path: Path) -> None:
    with closing(build_source(server, tmp_path, "azure with a token")) as source:
        for status in (403, 500):
            script(server, lists=build_error(status), objects=build_error(status))
            with pytest.raises((SourceRefusedError, SourceUnavailableError)) as failed:
                list(source.list_items())
            assert "own%3D" not in f"{failed.value.detail} {failed.value.hint}"
        server.answer = lambda request: Answer(200, b"x", {"Content-Length": "9"}, is_cut=True)
        with pytest.raises(SourceUnavailableError) as failed:
            list(source.list_items())
        assert "own%3D" not in f"{failed.value.detail} {failed.value.hint}"


def list_variables() -> list[str]:
    """List the environment variables that the library documents."""
    folder = Path(obstore.__file__).parent / "_store"
    text = "".join((folder / f"_{each}.pyi").read_text() for each in ("aws", "gcs", "azure"))
    return sorted(set(re.findall(r"`((?:AWS|GOOGLE|AZURE)_[A-Z0-9_]+)`", text)))


def describe_requests(server: ScriptedBucket, scratch: Path, which: str) -> list[tuple[str, dict[str, str]]]:
    """Send the requests of a source. Return the parts that do not depend on the time."""
    server.seen.clear()
    with closing(build_source(server, scratch, which)) as source:
        (item,) = source.list_items()
        assert read(source, item) == b"text"
    described = []
    for request in server.seen:
        headers = {name: value for name, value in request.headers.items() if not name.endswith("date")}
        sent = headers.get("authorization", "")
        signature = r"(?<=Signature=).*|(?<=own-key/)\d+|(?<=ownaccount:).*|(?<=Bearer ).*"
        headers["authorization"] = re.sub(signature, "…", sent)
        path = re.sub(r"(?<=\.leadline-)\w+", "…", request.path)
        described.append((f"{request.method} {path} {request.query}", headers))
    return described


@pytest.mark.parametrize("which", OPTIONS)
def test_nothing_of_the_services_environment_is_used(
    server: ScriptedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    azure_list = (
        "<EnumerationResults><Blobs><Blob><Name>a.txt</Name><Properties><Last-Modified>Thu, 01 Jan 2026 00:00:00 GMT"
        "</Last-Modified><Content-Length>4</Content-Length><Content-Type>text/plain</Content-Type><Etag>one</Etag>"
        "</Properties></Blob></Blobs></EnumerationResults>"
    )
    script(server, lists=Answer(200, azure_list.encode()) if "azure" in which else None)
    usual = describe_requests(server, tmp_path, which)
    key_file = tmp_path / "service-account.json"
    with open_scripted_bucket(lambda request: build_error(500)) as trap:
        account = json.loads(build_service_account_key())
        key_file.write_text(json.dumps({**account, "type": "service_account", "gcs_base_url": trap.url}))
        values = {
            "AWS_CHECKSUM_ALGORITHM": "SHA256",
            "AWS_CONDITIONAL_PUT": "etag",
            "AWS_COPY_IF_NOT_EXISTS": "multipart",
            "AWS_REGION": "eu-west-9",
            "AWS_SERVER_SIDE_ENCRYPTION": "sse-c",
            "AWS_SSE_CUSTOMER_KEY_BASE64": base64.b64encode(b"k" * 32).decode(),
            "AZURE_CREDENTIAL_TYPE": "bearer_token",
            "AZURE_ENCRYPTION_KEY": base64.b64encode(b"k" * 32).decode(),
            "AZURE_STORAGE_SAS_KEY": "sv=2024-11-04&sig=service",
            "AZURE_STORAGE_SAS_TOKEN": "sv=2024-11-04&sig=service",
            "GOOGLE_APPLICATION_CREDENTIALS": str(key_file),
            "GOOGLE_SERVICE_ACCOUNT": str(key_file),
        }
        # These two name the account in another way, of which the library accepts one.
        others = {"GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_SERVICE_ACCOUNT_KEY"}
        variables = [each for each in list_variables() if each not in others]
        assert len(variables) > 50
        # Booleans, keys and names: `true` is valid for all of them.
        names_server = re.compile("ENDPOINT|URL|URI|HOST|AUTHORITY")
        for variable in variables:
            usual_value = trap.url if names_server.search(variable) else "true"
            monkeypatch.setenv(variable, values.get(variable, usual_value))
        monkeypatch.setenv("AWS_SESSION_TOKEN", "service-token")
        assert describe_requests(server, tmp_path, which) == usual
        assert trap.seen == []
    assert "service" not in str([(request.headers, request.query) for request in server.seen])


@pytest.mark.parametrize("variable", ["AWS_SKIP_SIGNATURE", "AWS_ACCESS_KEY_ID", "AWS_S3_EXPRESS"])
def test_a_single_variable_changes_nothing_either(
    server: ScriptedBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    usual = [describe_requests(server, tmp_path, which) for which in ("s3", "s3 public")]
    monkeypatch.setenv(variable, "true")
    assert [describe_requests(server, tmp_path, which) for which in ("s3", "s3 public")] == usual


def test_credentials_are_sent_and_public_buckets_are_read_without_any(server: ScriptedBucket, tmp_path: Path) -> None:
    def find_authorization(which: str) -> str:
        return describe_requests(server, tmp_path, which)[-1][1]["authorization"]

    assert find_authorization("s3").startswith("AWS4-HMAC-SHA256 Credential=own-key/")
    assert find_authorization("s3 public") == find_authorization("gcs public") == ""
    assert find_authorization("gcs") == "Bearer …"
    token = server.seen[-1].headers["authorization"].removeprefix("Bearer ")
    account = json.loads(build_service_account_key())
    public = load_pem_private_key(account["private_key"].encode(), None).public_key()
    claims = jwt.decode(token, public, ["RS256"])  # type: ignore[arg-type]
    assert (claims["iss"], claims["sub"]) == (account["client_email"], account["client_email"])
    assert claims["scope"] == "https://www.googleapis.com/auth/devstorage.read_only"
    assert jwt.get_unverified_header(token)["kid"] == account["private_key_id"]
