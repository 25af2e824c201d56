"""The root of every error Leadline raises on purpose.

LeadlineError
├── ingest.storage.errors       IngestError: errors of documents, uploads and the catalog; below it those of
│                       ingest.parsing.errors and of ingest.storage.quotas.records
├── retrieval.errors    RetrievalError: errors of the index, the encoder and model files
└── rlm.errors          AnswerError: errors of the language model and of questions

The core knows no HTTP: `api.http.problems` holds the one table from these classes to status codes, and a test walks the
class tree so that none is missing from it.
"""

from typing import ClassVar

_PUBLIC_HINT = "Try again later; if it persists, tell those who run the service, whose log says more."


class LeadlineError(Exception):
    """An error whose text says what happened and, in `hint`, what to do next.

    `code` is stable and machine-readable (`snake_case`); `detail` is for people and may name the document. Details of
    a kind with a `public_detail` may name hosts, users, addresses or files: they are for operators and the log, and
    whoever uses the service gets `told` instead.
    """

    code: ClassVar[str] = "leadline_error"
    default_hint: ClassVar[str] = ""
    public_detail: ClassVar[str] = ""

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = self.default_hint if hint is None else hint

    @property
    def public_message(self) -> tuple[str, str]:
        """The detail and the hint for those who use the service."""
        # guard: problems-name-no-host
        return (self.public_detail, _PUBLIC_HINT) if self.public_detail else (self.detail, self.hint)

    def __str__(self) -> str:
        return f"{self.detail} {self.hint}".strip()


class IngestError(LeadlineError):
    """Anything that receiving, parsing, chunking or recording a document can raise."""

    code = "ingest_error"


class InputError(IngestError):
    """A text or a number of a request cannot be taken: no valid Unicode, not finite, too long or nested too deep.

    `at` names the place, such as `body.metadata.year`, and `problem` says what is wrong there.
    """

    code = "invalid_request"
    default_hint = "Correct the named place, and send it again; nothing was stored."

    def __init__(self, at: str, problem: str) -> None:
        super().__init__(f"{at}: {problem}")
        self.at = at
        self.problem = problem


class UploadError(IngestError):
    """The upload was refused before it was accepted; nothing of it was kept."""

    code = "upload_refused"


class EmptyUploadError(UploadError):
    """The file has no bytes."""

    code = "empty_file"
    default_hint = "Check that the file was saved, and upload it again."


class UploadTooLargeError(UploadError):
    """The file is larger than the configured limit."""

    code = "file_too_large"
    default_hint = "Split the document, or raise LEADLINE_MAX_UPLOAD_BYTES."


class BacklogFullError(UploadError):
    """So many of the tenant's documents wait already that another would not be searchable soon."""

    code = "backlog_full"
    default_hint = "Send it again after the seconds that Retry-After names; what was accepted goes on meanwhile."
    retry_after_seconds = 30.0


class StorageFullError(UploadError):
    """The disk has less room than the watermark, or ran out while writing."""

    code = "storage_full"
    default_hint = "Free space on the disk that holds the data folder, then upload again; nothing was kept."


class StorageReadOnlyError(UploadError):
    """The file system of the data folder can only be read."""

    code = "storage_read_only"
    default_hint = (
        "Mount it for writing, or set LEADLINE_HOME to another folder. If it was mounted for writing, the kernel's log "
        "says why it changed: often a failing disk."
    )


class GenerationStateError(IngestError):
    """The generations of the vector index are not in the states that the request needs."""

    code = "generation_state"
    default_hint = "`leadline index show` lists their states."


class GenerationChangedError(IngestError):
    """The index was switched to another generation during a write; the job is done again."""

    code = "generation_changed"
    default_hint = "Nothing to do: it is tried again in a moment, on the generation that is active now."


class CatalogError(IngestError):
    """The catalog refused a change."""

    code = "catalog_error"


class TableNotFoundError(CatalogError):
    """A document has no record table with this number."""

    code = "table_not_found"
    default_hint = "GET /v1/documents/{id}/tables lists its tables."


class PageNotFoundError(CatalogError):
    """A document has no page with this number, or none that can be shown as a picture."""

    code = "page_not_found"
    default_hint = "GET /v1/documents/{id}/outline lists its pages; those of PDFs and images can be shown."


class DocumentNotFoundError(CatalogError):
    """No such document for this tenant."""

    code = "document_not_found"
    default_hint = "List the documents with GET /v1/documents."


class StoredFileNotFoundError(CatalogError):
    """No such file for this principal."""

    code = "file_not_found"
    default_hint = "List the files with GET /v1/files; a deleted file is as good as never uploaded."


class DocumentStateError(CatalogError):
    """The document is in a state in which this cannot be done."""

    code = "document_state"


class SourceGoneError(CatalogError):
    """A document that an answer had read was deleted or replaced before the answer was done."""

    code = "source_gone"
    default_hint = "A run goes on by itself without that document."


class FilterError(IngestError):
    """A filter on documents' metadata is not valid, or names more than a filter may."""

    code = "filter_invalid"
    default_hint = "Leave some out, or put the documents into a collection of their own and name that."


class MetadataError(IngestError):
    """Metadata, a title or an access list that a document cannot have."""

    code = "metadata_invalid"
    default_hint = 'Send metadata such as {"year": 1815}, and readers such as ["user:ann", "group:hr"].'


class UploadNotFoundError(CatalogError):
    """No such upload of this sender, or no more."""

    code = "upload_not_found"
    default_hint = "Begin again with POST /v1/uploads."


class UploadOffsetError(CatalogError):
    """The bytes that are sent do not begin where the upload ends."""

    code = "upload_offset"
    default_hint = "Ask with HEAD how many bytes there are, and go on from there."


class UploadTakenError(CatalogError):
    """Another request is adding to the upload."""

    code = "upload_taken"
    default_hint = "Wait for it to end, some seconds if its connection was cut, and ask with HEAD how far it is."


class BatchNotFoundError(CatalogError):
    """No such batch for this tenant."""

    code = "batch_not_found"
    default_hint = "List the batches with GET /v1/batches."


class BatchStateError(CatalogError):
    """The batch is closed or has ended, so this cannot be done with it."""

    code = "batch_state"
    default_hint = "Make a new batch with POST /v1/batches."


class RunNotFoundError(CatalogError):
    """No such run for this tenant."""

    code = "run_not_found"
    default_hint = "List the runs with GET /v1/runs."


class RunStateError(CatalogError):
    """The run is in a state in which this cannot be done."""

    code = "run_state"


class KeyRevokedError(CatalogError):
    """The key that asked for a run was revoked, or has expired, so the run goes no further."""

    code = "key_revoked"
    default_hint = "Ask again with a key that is valid."


class RunsFullError(CatalogError):
    """So many of the tenant's runs wait already that another would not begin soon."""

    code = "runs_full"
    default_hint = "Ask again after the seconds that Retry-After names, or cancel runs that nobody needs any more."
    retry_after_seconds = 30.0


class TenantNotFoundError(CatalogError):
    """No such tenant in this installation."""

    code = "tenant_not_found"
    default_hint = "`leadline tenants list` shows the tenants there are."


class AnswerNotFoundError(CatalogError):
    """No such answer for this tenant, or it is no longer kept."""

    code = "answer_not_found"
    default_hint = "Answers are kept for LEADLINE_ANSWERS_KEPT_DAYS; ask the question again."


class FeedbackNotFoundError(CatalogError):
    """The caller gave no feedback on this answer."""

    code = "feedback_not_found"
    default_hint = "GET /v1/answers/{id}/feedback shows what was said of an answer."


class FeedbackInvalidError(IngestError):
    """Feedback names what the answer does not have, or is too long."""

    code = "feedback_invalid"
    default_hint = "Sentences are numbered from 1 in the order of `sentences`; citations by their `number`."


class ShareNotFoundError(CatalogError):
    """No such link for this tenant, or it has ended."""

    code = "share_not_found"
    default_hint = "Ask whoever sent the link for a new one."


class SharingOffError(IngestError):
    """This installation lets nobody make links."""

    code = "sharing_off"
    default_hint = "Whoever runs the service can allow it with LEADLINE_SHARE_DAYS."


class ConversationNotFoundError(CatalogError):
    """No such conversation for this tenant, or it is no longer kept."""

    code = "conversation_not_found"
    default_hint = 'List the conversations with GET /v1/conversations, or begin one with `"conversation": "new"`.'


class UserNotFoundError(CatalogError):
    """No such user of this tenant."""

    code = "user_not_found"
    default_hint = "List the users with GET /v1/users, or `leadline users list`."


class KeyNotFoundError(CatalogError):
    """No such API key of this tenant."""

    code = "key_not_found"
    default_hint = "List the keys with GET /v1/keys, or `leadline keys list`."


class KeyStateError(CatalogError):
    """The API key is in a state in which this cannot be done."""

    code = "key_state"


class CollectionNotFoundError(CatalogError):
    """No such collection for this principal."""

    code = "collection_not_found"
    default_hint = "List the collections with GET /v1/collections."


class RoleMissingError(CatalogError):
    """The collection is open to this principal, but not for this."""

    code = "role_missing"
    default_hint = "Ask an admin of your tenant, or of the collection, for the role."


class NotUploaderError(CatalogError):
    """Only a document's uploader and admins of its collection may change who can read it."""

    code = "not_uploader"


class GrantNotFoundError(CatalogError):
    """The collection has no grant for this subject."""

    code = "grant_not_found"
    default_hint = "List them with GET /v1/collections/{name}/grants."


class LastGrantError(CatalogError):
    """Without its last grant a collection would be open to everybody of the tenant."""

    code = "last_grant"


class WebhookNotFoundError(CatalogError):
    """No such webhook of this tenant, or no such message of it."""

    code = "webhook_not_found"
    default_hint = "List the webhooks with GET /v1/webhooks, and a webhook's messages with GET …/{id}/deliveries."


class WebhooksFullError(CatalogError):
    """The tenant has as many webhooks as it may have."""

    code = "webhooks_full"
    default_hint = "Delete one that is not used, or have one address told of more events."


class DestinationRefusedError(IngestError):
    """Requests are not sent to this address, so that nobody reaches by it what only this machine can reach."""

    code = "destination_refused"
    default_hint = (
        "Name a public https address; those who run the service can allow private networks with "
        "LEADLINE_WEBHOOK_NETWORKS."
    )


class NameTakenError(CatalogError):
    """Another one has this name already."""

    code = "name_taken"
    default_hint = "Choose another name."


class NameInvalidError(CatalogError):
    """The text cannot be such a name."""

    code = "name_invalid"
    default_hint = "Use 1 to 200 printable characters."


class IdempotencyKeyReusedError(CatalogError):
    """The idempotency key belongs to another request."""

    code = "idempotency_key_reused"
    default_hint = "Send a new Idempotency-Key with each request, and the old one only to repeat the same request."


class RequestUnderWayError(CatalogError):
    """The same request was sent before, and is being worked on."""

    code = "request_under_way"
    default_hint = "Wait for the first one, or send it again in some seconds: then its response is the answer."


class LogEntryTooLargeError(CatalogError):
    """An event of a run is too large for its log, without which the run could not be resumed."""

    code = "log_entry_too_large"
    default_hint = "Ask about fewer or smaller documents, or ask without background."


class VersionInUseError(CatalogError):
    """A run that has not ended reads this version, so its content is not removed yet."""

    code = "version_in_use"


class PreconditionFailedError(CatalogError):
    """The document or the collection has changed since the caller last saw it."""

    code = "precondition_failed"
    default_hint = "Get it again, look at what changed, and send its new ETag in If-Match."


class IncompleteVersionError(CatalogError):
    """The index lacks chunks of a replacement, so the version that it replaces stays active."""

    code = "version_incomplete"
    default_hint = "Replace the document again; if it persists, see that the vector index keeps what is written to it."


class OriginalLostError(IngestError):
    """The catalog has the document, and its original bytes are not in the blobs."""

    code = "original_lost"
    default_hint = "Put the blobs back from a backup, or upload the document again; `leadline verify` lists all such."


class ContentChangedError(IngestError):
    """Stored content of a document does not have the bytes that Leadline wrote, or is missing."""

    code = "content_changed"
    default_hint = "Run `leadline verify`, then put the file back from a backup, or upload the document again."


class TextLostError(ContentChangedError):
    """The catalog has the document, and its normalized text or another file made of it is not in the blobs."""

    code = "text_lost"
    default_hint = "Put the blobs back from a backup, or delete the document and upload it again."


class BlobChangedError(ContentChangedError):
    """A sealed file was changed or exchanged, or replaced by one of a format that is refused."""

    code = "blob_changed"
    public_detail = "A stored file was changed or damaged."


class BlobNameError(IngestError):
    """The catalog or a backup names a file by a key that Leadline never makes, such as a path out of the folder."""

    code = "blob_name"
    public_detail = "The record of a stored file is damaged."
    default_hint = "The catalog was changed by another program: restore it from a backup."


class BackupError(IngestError):
    """A folder is no whole backup, or a backup cannot be made or put back there."""

    code = "backup"
    default_hint = "`leadline backup verify FOLDER` says what a folder holds."


class RestoreUnfinishedError(BackupError):
    """A backup was being put back here when the restore was broken off."""

    code = "restore_unfinished"
    default_hint = "Give `leadline restore` again with the same folder: it begins anew and ends what was begun."


class LeaseLostError(CatalogError):
    """Another worker has the job now; the work of this one must not be committed."""

    code = "lease_lost"


class ValueRefusedError(CatalogError):
    """The catalog's database does not take a value of the request."""

    code = "value_refused"
    default_hint = "Leave out characters of code 0, and numbers too large to be meant."


class CatalogSchemaError(CatalogError):
    """The catalog was written by another release."""

    code = "catalog_schema"
    public_detail = "The catalog cannot be used by this release."
    default_hint = "Start the release that wrote it, or restore the backup."


class InstallationMismatchError(CatalogError):
    """The catalog, the data folder and the vector index do not belong to the same installation."""

    code = "installation_mismatch"
    default_hint = (
        "Put back the parts that belong together: `leadline installation show` says what each of them is. If they were "
        "brought together on purpose, stop the service, and tie them with `leadline installation adopt`."
    )


class CatalogDamagedError(CatalogError):
    """The catalog's file is damaged, or is no database."""

    code = "catalog_damaged"
    public_detail = "The catalog is damaged."
    default_hint = (
        "Stop the service, keep a copy of the data folder, and restore a backup with `leadline restore`. Check the "
        "disk first: damage to this file is often the first sign that it fails."
    )


class CatalogAccessError(CatalogError):
    """The catalog's database refused the connection: the URL, user, password or database name is wrong."""

    code = "catalog_access"
    public_detail = "The catalog's database is not available."
    default_hint = (
        "Check the user, the password and the name of the database in the catalog's URL, such as "
        "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE."
    )


class CatalogUnavailableError(CatalogError):
    """The catalog's database does not answer, or is too busy to."""

    code = "catalog_unavailable"
    public_detail = "The catalog's database is not available."
    default_hint = "Try again in a moment; if it persists, see that the database server runs and can be reached."


class CatalogLimitError(CatalogError):
    """The catalog's database gave up on a statement: a limit of its own was met, or somebody ended it."""

    code = "catalog_limit"
    public_detail = "The catalog's database gave up on this request."
    default_hint = "See the database's log; if it names a limit, raise it."


class BlobStoreError(IngestError):
    """The store of files cannot be used."""

    code = "blob_store"
    public_detail = "The store of files is not available."


class BlobStoreUnavailableError(BlobStoreError):
    """The store of files does not answer, or is too busy to."""

    code = "blob_store_unavailable"
    default_hint = "Try again in a moment; if it persists, see that LEADLINE_S3_ENDPOINT can be reached from here."


class BlobStoreRefusedError(BlobStoreError):
    """The store of files refuses: credentials, the bucket's name, its region, or the clock of this machine is wrong."""

    code = "blob_store_refused"
    default_hint = "Check LEADLINE_BLOBS, LEADLINE_S3_REGION and the credentials; `leadline doctor` tries them."


class BlobKeyError(BlobStoreError):
    """Files are sealed with a key that is not among those given."""

    code = "blob_key"
    default_hint = "Put the earlier key back behind the new one in LEADLINE_BLOB_KEYS. Without it the files are lost."


class DataFolderBusyError(CatalogError):
    """Another process has the data folder open."""

    code = "data_folder_busy"
    default_hint = "Stop the other Leadline, or choose another folder with LEADLINE_HOME."
