"""Buckets as sources: Amazon S3 and servers with its protocol, Google Cloud Storage, and Azure Blob Storage."""

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from ingest.sources.endpoints import require_permitted_endpoint
from ingest.sources.errors import SourceOptionsError
from ingest.sources.path_filter import DEFAULT_EXCLUDE, EXCLUDE_HELP, INCLUDE_HELP, PathFilter
from ingest.sources.port import Source, SourceContext, SourceKind

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_NO_SECRET = SecretStr("")
_ENDPOINT_HELP = "The address of another server with the same protocol, which the operators must permit."


def _require_folder(prefix: str) -> str:
    prefix = prefix.strip("/")
    if prefix and not {"", ".", ".."}.isdisjoint(prefix.split("/")):
        raise ValueError("must be a folder, such as reports/2025")
    return prefix


Prefix = Annotated[
    str,
    Field(
        title="Folder", description="Read only the objects in this folder of the bucket, for example `reports/2025`."
    ),
    AfterValidator(_require_folder),
]
Include = Annotated[
    tuple[str, ...],
    Field(title="Only these paths", description=f"{INCLUDE_HELP} Paths begin in the folder, if you chose one."),
]
Exclude = Annotated[tuple[str, ...], Field(title="Leave out", description=EXCLUDE_HELP)]
Endpoint = Annotated[str, Field(title="Server", description=_ENDPOINT_HELP)]


class S3Options(BaseModel):
    """Options of a bucket on Amazon S3, or on a server with its protocol."""

    model_config = ConfigDict(title="Bucket on Amazon S3")

    bucket: str = Field(
        title="Bucket", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,254}$", description="The name of the bucket."
    )
    # The region is part of a host name.
    region: str = Field(
        "us-east-1",
        title="Region",
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$",
        description="The region of the bucket, such as `eu-west-1`.",
    )
    access_key_id: SecretStr = Field(
        _NO_SECRET,
        title="ID of the access key",
        description="The id of an access key that may list and read objects. Public buckets need none.",
    )
    secret_access_key: SecretStr = Field(
        _NO_SECRET, title="Secret of the access key", description="The secret of this access key."
    )
    prefix: Prefix = ""
    include: Include = ()
    exclude: Exclude = DEFAULT_EXCLUDE
    endpoint: Endpoint = ""


class GcsOptions(BaseModel):
    """Options of a bucket on Google Cloud Storage."""

    model_config = ConfigDict(title="Bucket on Google Cloud Storage")

    bucket: str = Field(
        title="Bucket", pattern=r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", description="The name of the bucket."
    )
    service_account_key: SecretStr = Field(
        _NO_SECRET,
        title="Key of the service account",
        description="The key file (JSON) of a service account that may list and read objects. Public buckets need "
        "none.",
    )
    prefix: Prefix = ""
    include: Include = ()
    exclude: Exclude = DEFAULT_EXCLUDE
    endpoint: Endpoint = ""


class AzureOptions(BaseModel):
    """Options of a container on Azure Blob Storage."""

    model_config = ConfigDict(title="Container on Azure Blob Storage")

    # The account is part of a host name.
    account: str = Field(
        title="Storage account", pattern=r"^[a-z0-9]{3,24}$", description="The name of the storage account."
    )
    container: str = Field(
        title="Container",
        min_length=3,
        max_length=63,
        pattern=r"^(\$root|\$web|[a-z0-9](-?[a-z0-9])+)$",
        description="The name of the container.",
    )
    account_key: SecretStr = Field(
        _NO_SECRET,
        title="Key of the account",
        description="A key of the account. It opens the whole account, so prefer a SAS token.",
    )
    sas_token: SecretStr = Field(
        _NO_SECRET,
        title="SAS token",
        description="A SAS token that permits to list and read blobs. Public containers need none.",
    )
    prefix: Prefix = ""
    include: Include = ()
    exclude: Exclude = DEFAULT_EXCLUDE
    endpoint: Endpoint = ""


BucketOptions = S3Options | GcsOptions | AzureOptions


def _build_s3(options: S3Options, context: SourceContext) -> Source:
    from ingest.sources.bucket_stores import open_s3

    if bool(options.access_key_id.get_secret_value()) != bool(options.secret_access_key.get_secret_value()):
        raise SourceOptionsError("An access key has two parts.", hint="Enter its id and its secret, or neither.")
    domain = "amazonaws.com.cn" if options.region.startswith("cn-") else "amazonaws.com"
    endpoint = _find_endpoint(options, context, f"https://s3.{options.region}.{domain}")
    return _build_source(open_s3(options, endpoint, context.timeout_seconds), options.bucket, options, context)


def _build_gcs(options: GcsOptions, context: SourceContext) -> Source:
    from ingest.sources.bucket_stores import open_gcs

    endpoint = _find_endpoint(options, context, "https://storage.googleapis.com")
    return _build_source(open_gcs(options, endpoint, context.timeout_seconds), options.bucket, options, context)


def _build_azure(options: AzureOptions, context: SourceContext) -> Source:
    from ingest.sources.bucket_stores import open_azure

    if options.account_key.get_secret_value() and options.sas_token.get_secret_value():
        raise SourceOptionsError("There is both an account key and a SAS token.", hint="Enter only one of them.")
    endpoint = _find_endpoint(options, context, f"https://{options.account}.blob.core.windows.net")
    return _build_source(open_azure(options, endpoint, context.timeout_seconds), options.container, options, context)


def _find_endpoint(options: BucketOptions, context: SourceContext, usual: str) -> str:
    return require_permitted_endpoint(options.endpoint, context.endpoints) if options.endpoint else usual


def _build_source(store: "ObjectStore", bucket: str, options: BucketOptions, context: SourceContext) -> Source:
    from ingest.sources.bucket_source import BucketSource

    return BucketSource(store, bucket, options.prefix, PathFilter(options.include, options.exclude), context)


S3 = SourceKind("s3", S3Options, _build_s3)
GCS = SourceKind("gcs", GcsOptions, _build_gcs)
AZURE = SourceKind("azure", AzureOptions, _build_azure)
