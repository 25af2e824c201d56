"""The tables of the catalog, which are the same on SQLite and PostgreSQL.

A test checks that the migrations create exactly these tables.
"""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    null,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# `info={"erased_with": "document_id"}` marks a column with text from the document in `document_id`. Deleting the
# document clears such columns in the same transaction. Therefore `ingest.storage.documents.deletions` does not need to
# import the features that own the columns.

# Times are in seconds since the epoch (UTC), because both databases compare and add numbers in the same way.
_BIG = BigInteger().with_variant(Integer, "sqlite")
# Column type of text that is sorted by code points, regardless of the database's locale.
_PLAIN = Text().with_variant(Text(collation="C"), "postgresql")

# The table has one row: the installation id, which is also stored in the blob folder and the index; see
# `ingest.storage.operations.installation`.
installation = Table(
    "installation",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("id", String(36), nullable=False),
    Column("created_at", Float, nullable=False),
)

# The table has one row: the state of sealing; see `ingest.storage.sealing`. The row is not copied with a catalog,
# because the row describes the files of the original installation.
blob_sealing = Table(
    "blob_sealing",
    metadata,
    Column("row", Integer, primary_key=True, autoincrement=False),
    Column("sealing", String(16), nullable=False),
    Column("since", Float, nullable=False),
)

# Versions that have points in the index but no row in `versions`, each with the time at which its points were first
# seen.
unknown_versions = Table(
    "unknown_versions",
    metadata,
    Column("version_id", String(64), primary_key=True),
    Column("since", Float, nullable=False),
)

# Notices for operators about the installation, keyed by the component that raised them.
notices = Table(
    "notices",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("detail", Text, nullable=False),
    Column("since", Float, nullable=False),
)

# Digests of the files that are derived from a version: its text, map, positions and record tables. `file` is a file
# name as returned by `ingest.storage.digests.parse_file_name`. `blocks` is empty if the file has only one block.
# `fence` is the fencing token of the ingest job that wrote the files: the previous release may ingest a version again
# without updating these rows, and then the rows are outdated. There is no foreign key, because the previous release
# deletes versions without deleting these rows.
content_digests = Table(
    "content_digests",
    metadata,
    Column("version_id", String(64), primary_key=True),
    Column("file", String(64), primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", LargeBinary, nullable=False),
    Column("blocks", LargeBinary, nullable=False),
    Column("fence", Integer, nullable=False),
)

# The card of each version: the terms on its first page, and the fields found in its file, as objects keyed by
# `CardField`; see `ingest.storage.documents.cards`. The tables of cards have no foreign keys, because the previous
# release deletes versions and documents without deleting these rows.
cards = Table(
    "cards",
    metadata,
    Column("version_id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("maker", String(128), nullable=False),
    Column("language", String(32), nullable=False),
    Column("terms", LargeBinary, nullable=False),
    Column("source", JSON(none_as_null=True)),
    Column("rules", JSON(none_as_null=True)),
    Column("model", JSON(none_as_null=True)),
    # When a model may be asked for the fields (again), the code of the last failure, and the number of failures.
    Column("describe_after", Float),
    Column("describe_failure", String(64)),
    Column("describe_failures", Integer, nullable=False, server_default="0"),
)

# The fields that people set on a document's card. They apply to every version. A title is stored with the document.
card_edits = Table(
    "card_edits",
    metadata,
    Column("document_id", String(36), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("fields", JSON, nullable=False),
    Column("edited_by", String(256), nullable=False),
    Column("edited_at", Float, nullable=False),
)

# The values on the cards of active versions, in the form that filters and facets compare.
card_values = Table(
    "card_values",
    metadata,
    Column("document_id", String(36), primary_key=True),
    Column("name", String(32), primary_key=True),
    Column("value_key", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("value", _PLAIN, nullable=False),
    Column("number", Float),
    Column("instant", Float),
    Index("ix_card_values_tenant_id_name_value_key", "tenant_id", "name", "value_key", "document_id"),
    Index("ix_card_values_tenant_id_name_number", "tenant_id", "name", "number", "document_id"),
    Index("ix_card_values_tenant_id_name_instant", "tenant_id", "name", "instant", "document_id"),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("created_at", Float, nullable=False),
    # Time of the suspension. While this time is set, all of the tenant's keys and tokens are rejected.
    Column("suspended_at", Float),
)

users = Table(
    "users",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("groups", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("deleted_at", Float),
)
_live_user = users.c.deleted_at.is_(None)
Index(
    "uq_users_name", users.c.tenant_id, users.c.name, unique=True, sqlite_where=_live_user, postgresql_where=_live_user
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("secret_sha256", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("user_id", ForeignKey("users.id")),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    # Approximate time of the key's last use: it is written at most once a minute.
    Column("last_used_at", Float),
    Column("revoked_at", Float),
    # The key that replaced this key in a rotation. This key stops working when the grace period ends.
    Column("successor_id", String(32)),
    Index(None, "tenant_id", "created_at"),
    Index(None, "user_id"),
)

# Browser sessions, and one-time tickets that start a session, distinguished by `purpose`. A session or ticket has the
# permissions of its key, or of its token's `holder`. Only the hash of its secret is stored.
sessions = Table(
    "sessions",
    metadata,
    Column("secret_sha256", String(64), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("key_id", ForeignKey("api_keys.id")),
    Column("holder", JSON(none_as_null=True)),
    Column("owner", String(256), nullable=False),
    Column("created_at", Float, nullable=False),
    # Approximate time of the session's last use: it is written every few minutes.
    Column("used_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("idle_seconds", Float, nullable=False),
    # Only of sessions that an identity provider started: hashes of `sub` and `sid`, its tokens, and the times at which
    # it last confirmed the session, until which one request may refresh the session, and since which it does not
    # respond.
    Column("provider_subject", String(64), index=True),
    Column("provider_session", String(64)),
    Column("tokens_sealed", LargeBinary),
    Column("refreshed_at", Float),
    Column("refresh_lease_until", Float),
    Column("refresh_failing_since", Float),
    Index(None, "tenant_id", "owner"),
    Index(None, "ends_at"),
)

# People who signed in with an identity provider. `user` is the id from a claim of their token, as in `user:ID`. The
# keys are the forms in which names and addresses are compared. Only one person of a tenant can have a verified address.
people = Table(
    "people",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("user", String(200), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("name_key", String(400), nullable=False),
    Column("mail", String(254)),
    Column("mail_key", String(254)),
    Column("mail_verified", Boolean, nullable=False),
    # The groups of the last sign-in, and the time until which they count without another sign-in.
    Column("groups", JSON, nullable=False),
    Column("groups_until", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("signed_in_at", Float, nullable=False),
    Index("ix_people_tenant_id_name_key", "tenant_id", "name_key"),
    Index("ix_people_tenant_id_mail_key", "tenant_id", "mail_key"),
)

# Hashes of the ids (`jti`) of logout tokens that identity providers sent, until they expire: each is accepted once.
logout_tokens = Table(
    "logout_tokens",
    metadata,
    Column("id_sha256", String(64), primary_key=True),
    Column("expires_at", Float, nullable=False),
)

# The subjects that may use a collection. A collection without grants is open to the whole tenant.
collection_grants = Table(
    "collection_grants",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("collection", String(128), primary_key=True),
    Column("subject", String(210), primary_key=True),
    Column("role", String(16), nullable=False),
    Column("created_at", Float, nullable=False),
)

# Collections. A collection exists from its creation, first upload or first grant until it is deleted.
collections = Table(
    "collections",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("title", Text),
    Column("description", Text),
    Column("default_strategy", String(32)),
    Column("metadata", JSON, nullable=False, server_default="{}"),
    # The number of changes made to the collection so far.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("describe", Boolean, nullable=False, server_default=false()),
    # The number of days without use after which the collection is deleted, and the time of its last use. Null if it
    # does not expire; the last use is then still recorded.
    Column("expires_days", Integer),
    Column("last_active_at", Float),
    Index(None, "expires_days"),
)

# Files uploaded without a collection. Documents created from a file refer to it.
files = Table(
    "files",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("purpose", String(32), nullable=False),
    Column("media_type", String(128), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("blob_key", String(160), nullable=False),
    # The key that uploaded the file. The file counts toward this key's quotas. Until a document is created from it, the
    # file belongs to the key.
    Column("key_id", String(32), nullable=False, server_default=""),
    Column("owner", String(256), nullable=False),
    Column("created_at", Float, nullable=False),
    # The time at which the file's name was erased. A job then removes the file's bytes.
    Column("deleted_at", Float),
    # The time at which the file is deleted, or null if it does not expire.
    Column("expires_at", Float),
    Index(None, "expires_at"),
    Index(None, "tenant_id", "created_at"),
)

documents = Table(
    "documents",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sequence", _BIG, nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("collection", String(128), nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text),
    Column("media_type", String(128), nullable=False),
    Column("attributes", JSON, nullable=False),
    # The subjects that may see the document; null means the whole tenant. `document_readers` has a row for each
    # subject.
    Column("readers", JSON(none_as_null=True)),
    # The subject that uploaded the document (`user:NAME` or `key:ID`) and that may change the document's readers. Empty
    # if the upload was accepted by a release that did not record uploaders.
    Column("uploaded_by", String(256), nullable=False, server_default=""),
    # True if a user set the title. A user's title is retained when a new version with its own title becomes active.
    Column("is_titled", Boolean, nullable=False, server_default=false()),
    # The number of changes of metadata, title, readers and collection. The index contains the readers and the
    # collection as of `index_revision` or a later revision.
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("index_revision", Integer, nullable=False, server_default="0"),
    # Digest of the first version's content, from which the document's id is derived. The digests of later content are
    # stored with the versions.
    Column("content_sha256", String(64), nullable=False),
    Column("latest_version_id", String(36), nullable=False),
    Column("active_version_id", String(36)),
    # The key that uploaded the document and whose quotas the document counts against; empty if there is no such key.
    Column("key_id", String(32), nullable=False, server_default=""),
    # For an entry of a container: the container's document id, and the path of the entry in the container.
    Column("container_id", String(36)),
    Column("entry_path", Text),
    # The file from which the document was created; null if the document was not created from a file.
    Column("file_id", String(40)),
    Column("created_at", Float, nullable=False),
    Column("deleted_at", Float),
    Index(None, "container_id"),
    Index(None, "file_id"),
    Index(None, "tenant_id", "collection", "content_sha256"),
    Index(None, "tenant_id", "sequence", unique=True),
)

_closed = documents.c.readers.is_not(null())
Index("ix_documents_closed", documents.c.tenant_id, sqlite_where=_closed, postgresql_where=_closed)
_behind = documents.c.index_revision < documents.c.revision
Index("ix_documents_unsettled", documents.c.id, sqlite_where=_behind, postgresql_where=_behind)

# One narrow row for each live document, with the state of its latest version. With any filter and order, a listing
# reads a tenant's rows at most once. `ingest.storage.documents.listing` updates the row in every commit that changes
# the row's values.
document_listing = Table(
    "document_listing",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("sequence", _BIG, primary_key=True, autoincrement=False),
    Column("document_id", String(36), nullable=False),
    Column("version_id", String(36), nullable=False),
    Column("collection", String(128), nullable=False),
    Column("media_type", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("has_readers", Boolean, nullable=False),
    Column("has_omissions", Boolean, nullable=False),
    # The sort key for titles and names, and the title and name in the form that text filters use; see
    # `ingest.storage.documents.listing`.
    Column("sort_key", _PLAIN, nullable=False),
    Column("searched", Text, nullable=False),
    sqlite_with_rowid=False,
)

# The subjects on documents' access lists; see `ingest.storage.accounts.access`.
document_readers = Table(
    "document_readers",
    metadata,
    Column("document_id", ForeignKey("documents.id"), primary_key=True),
    Column("subject", String(256), primary_key=True),
)

# The values of documents' metadata, in the form that filters compare; see `ingest.storage.documents.filters`.
document_attributes = Table(
    "document_attributes",
    metadata,
    Column("document_id", ForeignKey("documents.id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("value_key", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("number", Float),
    Column("instant", Float),
    Index("ix_document_attributes_tenant_id_name_value_key", "tenant_id", "name", "value_key", "document_id"),
    Index("ix_document_attributes_tenant_id_name_number", "tenant_id", "name", "number", "document_id"),
    Index("ix_document_attributes_tenant_id_name_instant", "tenant_id", "name", "instant", "document_id"),
)

versions = Table(
    "versions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("document_id", ForeignKey("documents.id"), nullable=False),
    Column("tenant_id", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("title", Text),
    Column("media_type", String(128), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("key_id", String(32), nullable=False, server_default=""),
    Column("blob_key", String(160), nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("state", String(16), nullable=False),
    # True if the index may have points that searches must not show: the version is staged, or it is withdrawn and its
    # content has not been removed yet.
    Column("hidden", Boolean, nullable=False),
    Column("pages", Integer),
    # The number of pages parsed so far, while the version is being parsed.
    Column("pages_done", Integer),
    Column("characters", _BIG),
    Column("tokens", _BIG),
    Column("chunks", Integer),
    Column("chunks_embedded", Integer, nullable=False),
    Column("chunks_reused", Integer, nullable=False),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("error_hint", Text),
    # The codes of the detail and the hint, for other languages.
    Column("error_remarks", JSON(none_as_null=True)),
    Column("omissions", Text),
    Column("created_at", Float, nullable=False),
    Column("searchable_at", Float),
    Column("ready_at", Float),
    Index(None, "document_id"),
    Index(None, "tenant_id", "hidden"),
    Index(None, "content_sha256", "tenant_id"),
)

# Entries of a container's version. The entries become documents when the version becomes active; see
# `ingest.storage.documents.entries`.
staged_entries = Table(
    "staged_entries",
    metadata,
    Column("version_id", String(36), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("tenant_id", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("media_type", String(128), nullable=False),
    Column("content_sha256", String(64), nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("blob_key", String(160), nullable=False),
    Column("fingerprint", Text, nullable=False),
    Index(None, "tenant_id"),
)

# Number that increases with every commit that may change a tenant's search results; see `bump_corpus_versions`.
corpus_versions = Table(
    "corpus_versions",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("version", _BIG, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", _BIG, primary_key=True, autoincrement=True),
    Column("kind", String(16), nullable=False),
    Column("tenant_id", String(64), nullable=False),
    Column("document_id", String(36), nullable=False),
    Column("version_id", String(36), nullable=False),
    Column("state", String(16), nullable=False),
    Column("priority", Integer, nullable=False),  # a tenant's jobs with higher priority are claimed first
    Column("lane", String(8)),  # `large` or `slow`; null for `quick` jobs and for jobs queued before lanes existed
    # The time at which a running job was claimed as slow or became slow. Releases without lanes do not update this
    # time.
    Column("slow_since", Float),
    Column("attempt", Integer, nullable=False),
    # The number of times that the job's worker was lost because its process ended or its lease expired.
    Column("interruptions", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False),
    # The end of the first attempt in the latest series of attempts that all failed because of an unreachable
    # dependency.
    Column("away_since", Float),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    # The tracing span in which the job was queued, as a W3C `traceparent`.
    Column("trace", String(64)),
    UniqueConstraint("kind", "version_id"),
    Index(None, "document_id"),
)
# An index in which a tenant's waiting jobs of one kind form a range, in the order in which the jobs are claimed.
Index("ix_jobs_claim", jobs.c.state, jobs.c.kind, jobs.c.tenant_id, jobs.c.priority.desc(), jobs.c.id)
# A partial index of large and slow jobs. The index finds such a job immediately even if thousands of quick jobs are
# waiting.
Index(
    "ix_jobs_lane",
    jobs.c.state,
    jobs.c.kind,
    jobs.c.lane,
    jobs.c.tenant_id,
    jobs.c.priority.desc(),
    jobs.c.id,
    sqlite_where=jobs.c.lane.is_not(None),
    postgresql_where=jobs.c.lane.is_not(None),
)

# The time at which a job of a kind was last claimed for a tenant. Among tenants with the same number of running jobs,
# the tenant that has waited longest is next. The kinds `ingest/slow` and `ingest/large` record the turns of lanes
# rather than of job kinds.
turns = Table(
    "turns",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("tenant_id", String(64), primary_key=True),
    Column("served_at", Float, nullable=False),
)

# Paused kinds of jobs. Jobs of these kinds are not claimed.
pauses = Table(
    "pauses",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("since", Float, nullable=False),
)

# Replies of language models, keyed by a digest of the whole request; see `ingest.storage.answers.replies`.
replies = Table(
    "replies",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("prompt_tokens", _BIG, nullable=False),
    Column("completion_tokens", _BIG, nullable=False),
    Column("size_bytes", _BIG, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=False),
    # The answer or run for which the reply was requested; see `ingest.storage.documents.works`.
    Column("work_id", String(64)),
    Index(None, "tenant_id", "used_at"),
    Index(None, "work_id"),
)

# The versions that answers and runs have used. `redacted` means that the version no longer exists and that the answer
# or run has been redacted. `seen` is null if the content of the version was used. Otherwise only names of its document
# were shown to a model, and `seen` lists these names. Earlier releases ignore it, so they count such versions as used.
work_versions = Table(
    "work_versions",
    metadata,
    Column("work_id", String(64), primary_key=True),
    Column("version_id", String(36), primary_key=True),
    Column("redacted", Boolean, nullable=False),
    Column("seen", JSON(none_as_null=True)),
    Index(None, "version_id", "redacted"),
)

# Versions from which derived content may no longer be stored: deleted versions, and versions whose derived content was
# redacted. `names` are the names of a deleted document until the content derived from the version has been redacted,
# because the deletion erases them elsewhere at once. Null if they are not known.
gone_versions = Table(
    "gone_versions",
    metadata,
    Column("version_id", String(36), primary_key=True),
    Column("names", JSON(none_as_null=True)),
)

# Idempotency keys of requests. The digest covers the client that sent the key, and `response` is sealed with a secret
# that only this client has. The object created by the request gets the `id`.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("key_sha256", String(64), primary_key=True),
    Column("id", String(36), nullable=False),
    # Digests of the request. The first digest covers the method, URL and body. The second digest covers only the body,
    # if the body is a file.
    Column("request_sha256", String(64), nullable=False),
    Column("body_sha256", String(64)),
    Column("lease_until", Float, nullable=False),
    Column("done_at", Float),
    Column("response", LargeBinary),
    Column("created_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Index(None, "ends_at"),
)

# Uploads that are sent in several requests. Their bytes are stored as blobs under `uploads/`, and `received` of these
# bytes are durable.
uploads = Table(
    "uploads",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    # The owner who may continue the upload, and the key whose quotas the upload counts against (empty if there is no
    # such key).
    Column("owner", String(256), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("length", _BIG, nullable=False),
    Column("received", _BIG, nullable=False),
    # The name, the collection and the other values that the client sent, and the header to return.
    Column("description", JSON, nullable=False),
    Column("header", Text, nullable=False),
    # The holder of the lease, and the time at which the lease expires. Only one request at a time may write to an
    # upload.
    Column("writer", String(32)),
    Column("lease_until", Float, nullable=False),
    # The document created from the upload.
    Column("document_id", String(36)),
    Column("created_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Index(None, "tenant_id", "ends_at"),
    Index(None, "ends_at"),
)

# Groups of uploads. The results of a batch are the states of its versions, which are counted on demand.
batches = Table(
    "batches",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sequence", _BIG, nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("idempotency_key", String(200)),
    Column("expected", Integer),
    Column("received", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    # The number of received files that are entries of containers. These files are not part of `expected`.
    Column("entries", Integer, nullable=False, server_default="0"),
    # The collection to which the batch adds files; null if the batch adds no files to a collection.
    Column("collection", String(128)),
    # The owner who created the batch, `user:NAME` or `key:ID`. If the owner is null, the batch belongs to the whole
    # tenant: the batch was created by a release that did not record owners.
    Column("owner", String(256)),
    Column("created_at", Float, nullable=False),
    Column("closed_at", Float),
    Column("cancelled_at", Float),
    Index(None, "tenant_id", "sequence", unique=True),
    Index(None, "tenant_id", "idempotency_key", unique=True),
)

# Files sent in a batch, each with its version, or with the reason why the file was rejected.
batch_entries = Table(
    "batch_entries",
    metadata,
    Column("batch_id", ForeignKey("batches.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, info={"erased_with": "document_id"}),
    Column("document_id", String(36)),
    Column("version_id", ForeignKey("versions.id")),
    # True if the document existed before the batch. Cancelling the batch does not cancel such a document.
    Column("duplicate", Boolean, nullable=False),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("error_hint", Text),
    Column("error_remarks", JSON(none_as_null=True)),
    Index(None, "document_id", "batch_id"),
    Index(None, "version_id"),
)

# Work done for a tenant, in time slots of a few seconds. The throughput for estimates is computed from these rows,
# which are deleted after a few minutes.
paces = Table(
    "paces",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("kind", String(16), primary_key=True),
    Column("slot", _BIG, primary_key=True, autoincrement=False),
    Column("jobs", Integer, nullable=False),
    Column("chunks", Integer, nullable=False),
)

# Questions that are answered in the background. The state of an unfinished run is the state of its job.
runs = Table(
    "runs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sequence", _BIG, nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("idempotency_key", String(200)),
    # Digest of the whole request; null for runs from releases that did not store the digest.
    Column("asked_sha256", String(64)),
    Column("question", Text, nullable=False),
    Column("collections", JSON, nullable=False),
    Column("documents", JSON, nullable=False),
    Column("strategy", String(32), nullable=False),
    Column("limits", JSON, nullable=False),
    Column("every_record", Boolean, nullable=False, server_default=false()),
    # The messages that precede the question, and the conversation in which the answer is stored.
    Column("history", JSON, nullable=False, server_default="[]"),
    Column("conversation_id", String(36)),
    # The owner who asked, and the readers whose documents the owner may see (null means that the owner may see all
    # documents).
    Column("owner", String(256)),
    Column("readers", JSON(none_as_null=True)),
    Column("filters", JSON, nullable=False, server_default="{}"),
    # `pauses`: true if the run waits for a user's decision when its budget is used up. `raised`: the run's earlier
    # budgets, oldest first.
    Column("pauses", Boolean, nullable=False, server_default=false()),
    Column("raised", JSON, nullable=False, server_default="[]"),
    # The members of a request in another protocol that its reply repeats.
    Column("request", JSON(none_as_null=True)),
    Column("ended_as", String(16)),
    Column("events", Integer, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("cached", Integer, nullable=False),
    Column("prompt_tokens", _BIG, nullable=False),
    Column("completion_tokens", _BIG, nullable=False),
    Column("nanodollars", _BIG, nullable=False, server_default="0"),
    # The key that started the run and whose quotas the run counts against; empty if there is no such key.
    Column("key_id", String(32), nullable=False, server_default=""),
    Column("seconds", Float, nullable=False),
    Column("progress", JSON),
    Column("scope_documents", Integer),
    Column("scope_characters", _BIG),
    Column("answer", JSON),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("error_hint", Text),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Index(None, "tenant_id", "sequence", unique=True),
    Index(None, "tenant_id", "idempotency_key", unique=True),
)

# The log of a run, in order. Each event key is logged once.
run_events = Table(
    "run_events",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("key", String(120), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Index(None, "run_id", "key", unique=True),
)

# The versions in scope when a run started. The run reads these versions even if they are replaced in the meantime.
run_documents = Table(
    "run_documents",
    metadata,
    Column("run_id", ForeignKey("runs.id"), primary_key=True),
    Column("sequence", _BIG, primary_key=True, autoincrement=False),
    Column("document_id", String(36), nullable=False),
    Column("version_id", String(36), nullable=False),
    Index(None, "version_id"),
)

# A conversation starts with a question and continues with follow-up questions. `turns` counts its answers, including
# deleted ones.
conversations = Table(
    "conversations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sequence", _BIG, nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    # The owner, or null in rows written by releases that did not record owners. Such rows are visible to the whole
    # tenant. The same applies to answers and runs.
    Column("owner", String(256)),
    Column("title", Text, nullable=False),
    Column("turns", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    # Metadata for use by programs, and the messages that programs added, each with the turn that it follows.
    Column("metadata", JSON, nullable=False, server_default="{}"),
    Column("items", JSON, nullable=False, server_default="[]"),
    Index(None, "tenant_id", "sequence", unique=True),
    Index(None, "updated_at"),
)

# Stored answers. An answer's source records are in a separate column, as ranges of row numbers.
answers = Table(
    "answers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id")),
    Column("turn", Integer),
    Column("owner", String(256)),
    Column("question", Text, nullable=False),
    Column("answer", JSON, nullable=False),
    Column("rows_behind", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Index(None, "conversation_id", "turn", unique=True),
    Index(None, "created_at"),
)

# Questions in conversations whose answers are in progress, or ended without an answer. A row is removed when its answer
# is stored, under the same id. While an answer is in progress, its process updates `alive_at`.
pending_answers = Table(
    "pending_answers",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("owner", String(256)),
    # The subjects whose documents the author could read; null if the author could read all.
    Column("readers", JSON(none_as_null=True)),
    Column("question", Text, nullable=False),
    # The options of the question, so that it can be asked again in the same way.
    Column("options", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("events", Integer, nullable=False),
    Column("problem", JSON(none_as_null=True)),
    Column("alive_at", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    # Who asked, so that another process can take the answer up. Null for answers that an earlier release started.
    Column("asker", JSON(none_as_null=True)),
    # The token of the process that works on the answer, and the number of times that the answer was started.
    Column("lease", String(36)),
    Column("attempt", Integer, nullable=False, server_default="1"),
    # The members of a program's request that every reply repeats.
    Column("request", JSON(none_as_null=True)),
    Index(None, "conversation_id", "created_at"),
)
_in_progress = pending_answers.c.state == "running"
Index(
    "ix_pending_answers_running",
    pending_answers.c.created_at,
    sqlite_where=_in_progress,
    postgresql_where=_in_progress,
)

# The events of answers in progress. They are removed when the answer ends.
pending_events = Table(
    "pending_events",
    metadata,
    Column("answer_id", ForeignKey("pending_answers.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), nullable=False),
    Column("body", JSON, nullable=False),
)

# Feedback on answers, at most one entry per author and answer. Feedback is deleted with the answer.
feedback = Table(
    "feedback",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("sequence", _BIG, nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("answer_id", ForeignKey("answers.id", ondelete="CASCADE"), nullable=False),
    Column("author", String(256), nullable=False),
    Column("rating", String(8), nullable=False),
    Column("comment", Text),
    # The numbers of the sentences marked as wrong, counted from 1, and the numbers of the citations marked as wrong.
    Column("sentences", JSON, nullable=False),
    Column("citations", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Index(None, "tenant_id", "sequence", unique=True),
    Index(None, "answer_id", "author", unique=True),
)

# Links that share a conversation or a run within the tenant. In a link to a conversation, the run's id is null, and
# vice versa. A link is deleted with the shared conversation or run.
shares = Table(
    "shares",
    metadata,
    Column("id", String(48), primary_key=True),
    Column("sequence", _BIG, nullable=False),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE")),
    Column("run_id", ForeignKey("runs.id", ondelete="CASCADE")),
    Column("owner", String(256), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Index(None, "tenant_id", "sequence", unique=True),
    Index(None, "conversation_id"),
    Index(None, "run_id"),
    Index(None, "ends_at"),
)

# Limits of a tenant (empty `key_id`) or of a tenant's key. A null `amount` means no limit, even if the settings define
# a default.
quota_limits = Table(
    "quota_limits",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("key_id", String(32), primary_key=True),
    Column("quota", String(32), primary_key=True),
    Column("amount", _BIG),
)

# Amounts reserved for work in progress. The process that does the work extends `expires_at` and reports the amount
# spent so far. A run's reservation has the run's id and ends with the run.
reservations = Table(
    "reservations",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("key_id", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("tokens", _BIG, nullable=False),
    Column("nanodollars", _BIG, nullable=False),
    Column("spent_calls", _BIG, nullable=False),
    Column("spent_prompt_tokens", _BIG, nullable=False),
    Column("spent_completion_tokens", _BIG, nullable=False),
    Column("spent_nanodollars", _BIG, nullable=False),
    Column("expires_at", Float),
    Column("created_at", Float, nullable=False),
    Index(None, "tenant_id"),
)

# The usage of a key on a UTC day, such as `2026-11-27`. An empty `key_id` stands for all requests without a key.
usage_days = Table(
    "usage_days",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("key_id", String(32), primary_key=True),
    Column("answers", _BIG, nullable=False),
    Column("runs", _BIG, nullable=False),
    Column("calls", _BIG, nullable=False),
    Column("prompt_tokens", _BIG, nullable=False),
    Column("completion_tokens", _BIG, nullable=False),
    Column("nanodollars", _BIG, nullable=False),
    Column("documents", _BIG, nullable=False),
    Column("bytes", _BIG, nullable=False),
)

# The number of live documents and the size of their originals in bytes, for a tenant (empty `key_id`) and for each key.
stored_content = Table(
    "stored_content",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("key_id", String(32), primary_key=True),
    Column("documents", _BIG, nullable=False),
    Column("bytes", _BIG, nullable=False),
)

# Addresses that are notified of events; see `ingest.storage.webhooks.records`. The secret is needed for signing, so the
# secret itself is stored instead of its hash.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("url", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("description", String(200), nullable=False),
    Column("secret", String(120), nullable=False),
    Column("previous_secret", String(120)),
    Column("previous_until", Float),
    Column("created_at", Float, nullable=False),
    Column("failing_since", Float),
    Column("disabled_at", Float),
    Column("disabled_reason", Text),
    Index(None, "tenant_id", "id"),
)

# Messages to webhooks. A message is written in the same transaction as the change that it reports. The message contains
# ids and codes but no document text.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("sequence", _BIG, primary_key=True, autoincrement=True),
    Column("id", String(40), nullable=False, unique=True),
    Column("tenant_id", String(64), nullable=False),
    Column("webhook_id", ForeignKey("webhooks.id"), nullable=False),
    # Key of the change that the message reports, so that each webhook gets one message per change.
    Column("key", String(120), nullable=False),
    Column("type", String(40), nullable=False),
    Column("body", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Float, nullable=False),
    Column("lease_until", Float),
    Column("status", Integer),
    Column("detail", Text),
    Column("created_at", Float, nullable=False),
    Column("attempted_at", Float),
    Index(None, "webhook_id", "key", unique=True),
    Index(None, "webhook_id", "sequence"),
    Index(None, "state", "webhook_id", "not_before"),
    Index(None, "created_at"),
)

deletions = Table(
    "deletions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("document_id", String(36), nullable=False, unique=True),
    Column("tenant_id", String(64), nullable=False),
    Column("versions", Integer, nullable=False),
    # The number of the document's entries that were deleted with it.
    Column("entries", Integer, nullable=False, server_default="0"),
    Column("chunks_removed", _BIG, nullable=False),
    Column("bytes_removed", _BIG, nullable=False),
    # The numbers of derived answers, runs and replies that were redacted or removed.
    Column("answers_redacted", _BIG, nullable=False, server_default="0"),
    Column("runs_redacted", _BIG, nullable=False, server_default="0"),
    Column("replies_removed", _BIG, nullable=False, server_default="0"),
    # The id of the collection's deletion, if the document was deleted because its collection was deleted.
    Column("collection_deletion_id", String(36)),
    Column("deleted_at", Float, nullable=False),
    Index(None, "collection_deletion_id"),
)

# Receipts of deleted collections. The receipts of their documents are in `deletions`.
collection_deletions = Table(
    "collection_deletions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("collection", String(128), nullable=False),
    # The owner who deleted the collection. Only this owner and admins may read the receipt.
    Column("owner", String(256), nullable=False),
    Column("deleted_at", Float, nullable=False),
    Index(None, "tenant_id", "collection"),
)

# Deleted tenants whose data has not been removed completely yet; see `ingest.storage.operations.tenant_data`.
tenant_deletions = Table(
    "tenant_deletions",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("deleted_at", Float, nullable=False),
)

# The audit log, which is a hash chain; see `ingest.storage.audit.store`.
audit = Table(
    "audit",
    metadata,
    Column("sequence", _BIG, primary_key=True, autoincrement=False),
    Column("at", Float, nullable=False),
    Column("tenant_id", String(64)),
    Column("actor", String(16), nullable=False),
    Column("key_id", String(32)),
    Column("user", String(200)),
    Column("request_id", String(64)),
    Column("action", String(64), nullable=False),
    Column("object", String(200), nullable=False),
    Column("result", String(64), nullable=False),
    Column("details", JSON, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index(None, "tenant_id", "sequence"),
    Index(None, "object", "sequence"),
)

# The table has one row, which is locked while an entry is appended. The row contains the last entry, and the last entry
# that was removed because of its age.
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("sequence", _BIG, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("trimmed_sequence", _BIG, nullable=False),
    Column("trimmed_hash", String(64), nullable=False),
)

generations = Table(
    "generations",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("encoder", Text, nullable=False),
    Column("sparse", Text, nullable=False),
    Column("dimension", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("activated_at", Float),
    Column("copies", Integer),
)
# At most one generation is active, at most one is being built, and at most one is the previous generation.
for _state in ("active", "building", "previous"):
    _only = generations.c.state == _state
    Index(f"uq_generations_{_state}", generations.c.state, unique=True, sqlite_where=_only, postgresql_where=_only)

# The result of the last check of each generation's index; see `ingest.storage.generations.records.IndexState`.
index_states = Table(
    "index_states",
    metadata,
    Column("generation_id", Integer, primary_key=True, autoincrement=False),
    Column("marked_at", Float),
    Column("checked_at", Float, nullable=False),
    Column("versions", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("requeued", Integer, nullable=False),
    Column("lost", Text),
)

# The replicas of each generation's index on the nodes of a vector server; see
# `ingest.storage.generations.records.ReplicaStatus`.
index_copies = Table(
    "index_copies",
    metadata,
    Column("generation_id", Integer, primary_key=True, autoincrement=False),
    Column("checked_at", Float, nullable=False),
    Column("shards", Integer, nullable=False),
    Column("short", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("away", JSON, nullable=False),
)

# Slack workspaces in which the app is installed; `token_sealed` is encrypted.
slack_workspaces = Table(
    "slack_workspaces",
    metadata,
    Column("team_id", String(32), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("bot_user_id", String(32), nullable=False),
    Column("token_sealed", Text, nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("installed_by", String(32), nullable=False),
    Column("installed_at", Float, nullable=False),
)

# The bot's settings in a channel: `ingest.storage.slack.records.ChannelSettings`.
slack_channels = Table(
    "slack_channels",
    metadata,
    Column("team_id", String(32), primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("settings", JSON, nullable=False),
    Column("changed_by", String(32), nullable=False),
    Column("changed_at", Float, nullable=False),
)

# Threads in which the bot takes part, each with the conversation that its questions belong to.
slack_threads = Table(
    "slack_threads",
    metadata,
    Column("team_id", String(32), primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("thread_ts", String(32), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("conversation_id", String(36)),
    Column("created_at", Float, nullable=False),
    Index(None, "tenant_id"),
)

# Ids of events and messages that were already handled. Slack may deliver an event again, even a day later.
slack_seen = Table(
    "slack_seen",
    metadata,
    Column("team_id", String(32), primary_key=True),
    Column("key", String(120), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("seen_at", Float, nullable=False),
    Index(None, "seen_at"),
    Index(None, "tenant_id"),
)

# Questions with their replies. `messages` are the timestamps of the posted messages, in order. `resumed_at` is the time
# at which the question was claimed again after its run had waited for a user's decision.
slack_questions = Table(
    "slack_questions",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("team_id", String(32), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("thread_ts", String(32), nullable=False),
    Column("message_ts", String(32), nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("surface", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("confirmed", Boolean, nullable=False),
    Column("stopped", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("run_id", String(36)),
    Column("messages", JSON, nullable=False),
    Column("posting_since", Float),
    Column("attempt", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False),
    Column("error_code", String(64)),
    Column("created_at", Float, nullable=False),
    Column("resumed_at", Float),
    Column("ended_at", Float),
    Index(None, "state", "not_before"),
    Index(None, "team_id", "channel", "thread_ts"),
    Index(None, "tenant_id"),
)

# Slack messages with files to ingest. `reply_ts` identifies the bot's reply that shows the progress; `shown` is a
# digest of the reply's text.
slack_shares = Table(
    "slack_shares",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("team_id", String(32), nullable=False),
    Column("channel", String(32), nullable=False),
    Column("thread_ts", String(32), nullable=False),
    Column("message_ts", String(32), nullable=False),
    Column("user_id", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("reply_ts", String(32)),
    Column("posting_since", Float),
    Column("shown", String(64), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("lease_until", Float),
    Column("not_before", Float, nullable=False),
    Column("error_code", String(64)),
    Column("created_at", Float, nullable=False),
    Column("ended_at", Float),
    UniqueConstraint("team_id", "channel", "message_ts"),
    Index(None, "state", "not_before"),
    Index(None, "tenant_id"),
)

# The files in the messages in `slack_shares`, each with the document created from the file and the final report about
# it.
slack_files = Table(
    "slack_files",
    metadata,
    Column("share_id", ForeignKey("slack_shares.id"), primary_key=True),
    Column("file_id", String(32), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("team_id", String(32), nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False, info={"erased_with": "document_id"}),
    Column("state", String(16), nullable=False),
    Column("document_id", String(36)),
    Column("audience", String(16), nullable=False),
    Column("said", JSON, nullable=False),
    Column("gone_at", Float),
    Index(None, "team_id", "file_id"),
    Index(None, "document_id"),
    Index(None, "tenant_id"),
)

# The usage of a channel on a UTC day: questions, answers and shared files.
slack_days = Table(
    "slack_days",
    metadata,
    Column("tenant_id", ForeignKey("tenants.id"), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("channel", String(32), primary_key=True),
    Column("questions", BigInteger, nullable=False),
    Column("answers", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
)

# Places that documents are synchronized from; see `ingest.storage.sources`. `credentials_sealed` is encrypted. `round`
# is the number of the latest synchronization. While `deleted_at` is set, workers remove the items of a deleted source.
sources = Table(
    "sources",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("tenant_id", ForeignKey("tenants.id"), nullable=False),
    Column("collection", String(128), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("name", String(200), nullable=False),
    Column("options", JSON, nullable=False),
    Column("credentials_sealed", Text),
    Column("credential_names", JSON, nullable=False),
    Column("interval_seconds", Float, nullable=False),
    Column("is_paused", Boolean, nullable=False),
    # When the next synchronization is due; null if it starts only on request.
    Column("next_sync_at", Float),
    # The adapter's position in the source's list of changes.
    Column("cursor", Text, nullable=False),
    Column("round", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("created_by", String(256), nullable=False),
    Column("deleted_at", Float),
    Column("removes_documents", Boolean, nullable=False),
    Index(None, "tenant_id", "id"),
    Index(None, "next_sync_at"),
)

# The items of sources, keyed by a hash of their ids, each with the document that has its content. `round` is the last
# synchronization that found the item, and `gone_round` the one in whose list of changes it was removed.
source_items = Table(
    "source_items",
    metadata,
    Column("source_id", ForeignKey("sources.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("item_id", Text, nullable=False, info={"erased_with": "document_id"}),
    Column("version", Text, nullable=False),
    Column("document_id", String(36)),
    Column("round", Integer, nullable=False),
    Column("added_round", Integer, nullable=False),
    Column("gone_round", Integer),
    Column("name", Text, nullable=False, info={"erased_with": "document_id"}),
    Column("path", Text, nullable=False, info={"erased_with": "document_id"}),
    Column("url", Text, nullable=False, info={"erased_with": "document_id"}),
    Column("author", Text, nullable=False, info={"erased_with": "document_id"}),
    Column("modified_at", Float),
    Column("size_bytes", _BIG),
    # The subjects that may see the item; null means that the access rules of the collection apply.
    Column("readers", JSON(none_as_null=True)),
    # Why the item was refused, and whether the next synchronization tries again although the item did not change.
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("error_hint", Text),
    Column("is_retried", Boolean, nullable=False),
    Index(None, "document_id"),
    Index(None, "source_id", "round"),
    Index(None, "tenant_id"),
)

# The synchronizations of sources. The job of a source has the source's id as its document id and version id.
source_syncs = Table(
    "source_syncs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("source_id", ForeignKey("sources.id"), nullable=False),
    Column("tenant_id", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("ended_at", Float),
    Column("listed", _BIG, nullable=False),
    Column("added", _BIG, nullable=False),
    Column("changed", _BIG, nullable=False),
    Column("removed", _BIG, nullable=False),
    Column("unchanged", _BIG, nullable=False),
    Column("refused", _BIG, nullable=False),
    # `is_listed`: everything was listed, and only removals remain. `lists_changes`: the list contained only changes.
    Column("is_listed", Boolean, nullable=False),
    Column("lists_changes", Boolean, nullable=False),
    # The number of documents that would be removed, which needs an approval, and the number that was approved.
    Column("pending_removals", _BIG),
    Column("approved_removals", _BIG, nullable=False),
    Column("error_code", String(64)),
    Column("error_detail", Text),
    Column("error_hint", Text),
    Index(None, "source_id", "number", unique=True),
    Index(None, "tenant_id"),
)
