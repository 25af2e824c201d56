"""The base class of all errors that Leadline raises on purpose, and the errors of documents, uploads and the catalog.

    LeadlineError
    ├── ingest.storage.errors   IngestError: documents, uploads and the catalog. Its subclasses include those of
    │                           ingest.parsing.errors and ingest.storage.quotas.records.
    ├── retrieval.errors        RetrievalError: the index, the encoder and model files
    └── rlm.errors              AnswerError: the language model and questions

The core knows no HTTP. `api.http.problems` has the table from these classes to status codes, and a test checks that no
class is missing from it.
"""

from typing import ClassVar

from ingest.storage.remarks import Remark

_PUBLIC_HINT = "Try again later. If this persists, contact the operators of this service; its log has the details."


class LeadlineError(Exception):
    """An error with a description of the failure in `detail` and the next step in `hint`.

    `code` is a stable, machine-readable identifier (`snake_case`); `detail` is for display and may name the document.
    `at` is the path of the request field that caused the error, if it is known.
    If a class has a `public_detail`, its details may contain hosts, users, addresses or file names. Such details are
    for operators and the log; users of the service get `public_message` instead.
    """

    code: ClassVar[str] = "leadline_error"
    default_hint: ClassVar[str] = ""
    public_detail: ClassVar[str] = ""
    at: str | None = None

    def __init__(self, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = self.default_hint if hint is None else hint

    @property
    def public_message(self) -> tuple[str, str]:
        """The detail and the hint in a form that users of the service may see."""
        # guard: problems-name-no-host
        return (self.public_detail, _PUBLIC_HINT) if self.public_detail else (self.detail, self.hint)

    def __str__(self) -> str:
        return f"{self.detail} {self.hint}".strip()


class IngestError(LeadlineError):
    """An error that occurs while a document is received, parsed, chunked or recorded."""

    code = "ingest_error"


class InputError(IngestError):
    """A string or number in a request was rejected: invalid Unicode, not finite, too long or too deeply nested.

    `at` is its location, such as `body.metadata.year`, and `problem` is the reason.
    """

    code = "invalid_request"
    default_hint = "Correct this value and send the request again; nothing was stored."

    def __init__(self, location: str, problem: str) -> None:
        super().__init__(f"{location}: {problem}")
        self.at = location
        self.problem = problem


class UploadError(IngestError):
    """The upload was rejected before it was accepted. Nothing was stored."""

    code = "upload_refused"


class EmptyUploadError(UploadError):
    """The file has no bytes."""

    code = "empty_file"
    default_hint = Remark("hint_file_saved")


class UploadTooLargeError(UploadError):
    """The file is larger than the configured limit."""

    code = "file_too_large"
    default_hint = "Split the document, or raise LEADLINE_MAX_UPLOAD_BYTES."


class BacklogFullError(UploadError):
    """The tenant has too many documents waiting to be ingested."""

    code = "backlog_full"
    default_hint = (
        "Wait for the number of seconds in Retry-After, then send the file again. Accepted documents are still being "
        "processed."
    )
    retry_after_seconds = 30.0


class StorageFullError(UploadError):
    """The disk has less free space than the watermark, or became full during a write."""

    code = "storage_full"
    default_hint = "Free space on the disk that holds the data folder, then upload again; nothing was stored."


class StorageReadOnlyError(UploadError):
    """The file system of the data folder is read-only."""

    code = "storage_read_only"
    default_hint = (
        "Mount the file system as writable, or set LEADLINE_HOME to another folder. If it was writable before, the "
        "kernel's log says why that changed: often the disk is failing."
    )


class GenerationStateError(IngestError):
    """The generations of the vector index are not in the states that the request needs."""

    code = "generation_state"
    default_hint = "`leadline index show` lists the states of all generations."


class GenerationChangedError(IngestError):
    """The index was switched to another generation during a write. The job is retried."""

    code = "generation_changed"
    default_hint = "No action is needed: the job is retried on the generation that is active now."


class CatalogError(IngestError):
    """The catalog rejected a change or cannot be used."""

    code = "catalog_error"


class TableNotFoundError(CatalogError):
    """The document has no record table with this number."""

    code = "table_not_found"
    default_hint = "GET /v1/documents/{id}/tables lists the tables of a document."


class PageNotFoundError(CatalogError):
    """The document has no page with this number, or none that can be rendered as an image."""

    code = "page_not_found"
    default_hint = (
        "GET /v1/documents/{id}/outline lists the pages of a document; pages of PDFs and images can be rendered."
    )


class DocumentNotFoundError(CatalogError):
    """The tenant has no such document, or the caller may not see it."""

    code = "document_not_found"
    default_hint = "List the documents with GET /v1/documents."


class StoredFileNotFoundError(CatalogError):
    """The principal has no such file, or may not see it."""

    code = "file_not_found"
    default_hint = "List the files with GET /v1/files. Deleted files are not listed; upload the file again."


class DocumentStateError(CatalogError):
    """The document's state does not allow the operation."""

    code = "document_state"


class SourceGoneError(CatalogError):
    """A document that was used for an answer was deleted or replaced before the answer was finished."""

    code = "source_gone"
    default_hint = "Ask again. A run continues automatically without that document."


class FilterError(IngestError):
    """A filter on documents' metadata is not valid or exceeds a limit."""

    code = "filter_invalid"
    default_hint = "Remove some filters, or move the documents to a separate collection and ask that collection."


class MetadataError(IngestError):
    """The metadata, title or access list is not valid for a document."""

    code = "metadata_invalid"
    default_hint = 'Send metadata such as {"year": 1815}, and readers such as ["user:ann", "group:hr"].'


class UploadNotFoundError(CatalogError):
    """The sender has no such upload, or the upload has expired."""

    code = "upload_not_found"
    default_hint = "Start again with POST /v1/uploads."


class UploadOffsetError(CatalogError):
    """The request's bytes do not start at the current end of the upload."""

    code = "upload_offset"
    default_hint = "Send HEAD to get the number of received bytes, and continue from there."


class UploadTakenError(CatalogError):
    """Another request is already writing to the upload."""

    code = "upload_taken"
    default_hint = (
        "Wait a few seconds until the other request ends, then send HEAD to get the number of received bytes."
    )


class BatchNotFoundError(CatalogError):
    """The tenant has no such batch."""

    code = "batch_not_found"
    default_hint = "List the batches with GET /v1/batches."


class BatchStateError(CatalogError):
    """The batch is closed, completed or cancelled, and its state does not allow the operation."""

    code = "batch_state"
    default_hint = "Create a new batch with POST /v1/batches."


class RunNotFoundError(CatalogError):
    """The tenant has no such run."""

    code = "run_not_found"
    default_hint = "List the runs with GET /v1/runs."


class RunStateError(CatalogError):
    """The run's state does not allow the operation."""

    code = "run_state"


class KeyRevokedError(CatalogError):
    """The key that started a run was revoked or has expired, so the run cannot continue."""

    code = "key_revoked"
    default_hint = "Ask again with a valid key."


class RunsFullError(CatalogError):
    """The tenant has too many queued runs."""

    code = "runs_full"
    default_hint = (
        "Wait for the number of seconds in Retry-After, then ask again, or cancel runs that are no longer needed."
    )
    retry_after_seconds = 30.0


class TenantNotFoundError(CatalogError):
    """The installation has no such tenant."""

    code = "tenant_not_found"
    default_hint = "List the tenants with `leadline tenants list`."


class AnswerNotFoundError(CatalogError):
    """The tenant has no such answer, or the answer is no longer stored."""

    code = "answer_not_found"
    default_hint = "Answers are stored for LEADLINE_ANSWERS_KEPT_DAYS; ask the question again."


class ConversationFullError(CatalogError):
    """The conversation has the maximum number of added items."""

    code = "conversation_full"
    default_hint = "Start a new conversation, or delete items that are no longer needed."


class FeedbackNotFoundError(CatalogError):
    """The caller gave no feedback on this answer."""

    code = "feedback_not_found"
    default_hint = "GET /v1/answers/{id}/feedback lists the feedback on an answer."


class FeedbackInvalidError(IngestError):
    """The feedback refers to sentences or citations that the answer does not have, or it is too long."""

    code = "feedback_invalid"
    default_hint = (
        "Sentences are numbered from 1 in the order of `sentences`; citations are identified by their `number`."
    )


class ShareNotFoundError(CatalogError):
    """The tenant has no such link, or the link has expired."""

    code = "share_not_found"
    default_hint = "Ask the sender of the link for a new one."


class SharingDisabledError(IngestError):
    """Sharing by links is turned off in this installation."""

    code = "sharing_off"
    default_hint = "Operators can enable it with LEADLINE_SHARE_DAYS."


class ConversationNotFoundError(CatalogError):
    """The tenant has no such conversation, or the conversation is no longer stored."""

    code = "conversation_not_found"
    default_hint = 'List the conversations with GET /v1/conversations, or start one with `"conversation": "new"`.'


class UserNotFoundError(CatalogError):
    """The tenant has no such user."""

    code = "user_not_found"
    default_hint = "List the users with GET /v1/users, or `leadline users list`."


class PersonUnknownError(CatalogError):
    """A name or mail address does not name a person of the tenant."""

    code = "person_unknown"
    default_hint = "Find people with GET /v1/people. `user:ID` names a person by id, also before the first sign-in."


class PersonAmbiguousError(CatalogError):
    """A name belongs to several people of the tenant."""

    code = "person_ambiguous"
    default_hint = "Name the person by mail address, or by id as in `user:ID`."


class KeyNotFoundError(CatalogError):
    """The tenant has no such API key."""

    code = "key_not_found"
    default_hint = "List the keys with GET /v1/keys, or `leadline keys list`."


class KeyStateError(CatalogError):
    """The API key's state does not allow the operation."""

    code = "key_state"


class CollectionNotFoundError(CatalogError):
    """The tenant has no such collection, or the principal may not see it."""

    code = "collection_not_found"
    default_hint = "List the collections with GET /v1/collections."


class CollectionNotEmptyError(CatalogError):
    """The collection contains documents and should be deleted only if it is empty."""

    code = "collection_not_empty"
    default_hint = "Move its documents to another collection or delete them first."


class RoleMissingError(CatalogError):
    """The principal may use the collection, but its role does not allow the operation."""

    code = "role_missing"
    default_hint = "Ask an admin of your tenant, or of the collection, for the role."


class NotUploaderError(CatalogError):
    """The caller may not change a document's readers. Only its uploader and the admins of its collection may."""

    code = "not_uploader"


class GrantNotFoundError(CatalogError):
    """The collection has no grant for this subject."""

    code = "grant_not_found"
    default_hint = "List the grants with GET /v1/collections/{name}/grants."


class LastGrantError(CatalogError):
    """Removing the last grant of a collection would open it to everyone in the tenant."""

    code = "last_grant"


class WebhookNotFoundError(CatalogError):
    """The tenant has no such webhook, or the webhook has no such message."""

    code = "webhook_not_found"
    default_hint = "List the webhooks with GET /v1/webhooks, and a webhook's messages with GET …/{id}/deliveries."


class WebhooksFullError(CatalogError):
    """The tenant has reached its limit of webhooks."""

    code = "webhooks_full"
    default_hint = "Delete an unused webhook, or send more events to the same address."


class SourceNotFoundError(CatalogError):
    """The source does not exist, or belongs to another tenant."""

    code = "source_not_found"
    default_hint = "List the sources with GET /v1/sources."


class SourceStateError(CatalogError):
    """The source, or its latest synchronization, is not in a state in which this is possible."""

    code = "source_state_invalid"


class SourcesFullError(CatalogError):
    """The tenant has reached its limit of sources."""

    code = "sources_full"
    default_hint = "Delete an unused source, or let one source cover more."


class SourceCredentialsError(IngestError):
    """The credentials of a source cannot be encrypted or decrypted, because the key is missing."""

    code = "source_credentials_unreadable"
    default_hint = "Enter the credentials of the source again. Operators can check LEADLINE_SOURCE_KEYS."


class DestinationRejectedError(IngestError):
    """Requests to this address are rejected, because it could expose hosts that only this machine can reach."""

    code = "destination_refused"
    default_hint = "Use a public https address; operators can allow private networks with LEADLINE_WEBHOOK_NETWORKS."


class NameTakenError(CatalogError):
    """The name is already in use."""

    code = "name_taken"
    default_hint = "Choose another name."


class NameInvalidError(CatalogError):
    """The string is not a valid name."""

    code = "name_invalid"
    default_hint = "Use 1 to 200 printable characters."


class IdempotencyKeyReusedError(CatalogError):
    """The idempotency key was already used for a different request."""

    code = "idempotency_key_reused"
    default_hint = "Send a new Idempotency-Key with each request; reuse one only to repeat the same request."


class RequestInProgressError(CatalogError):
    """The same request was sent before and is still in progress."""

    code = "request_under_way"
    default_hint = "Wait for the first request to finish, or repeat this one in a few seconds to get its response."


class LogEntryTooLargeError(CatalogError):
    """An event is too large for its run's log. Without the event, the run could not be resumed."""

    code = "log_entry_too_large"
    default_hint = "Ask about fewer or smaller documents, or ask without `background`."


class VersionInUseError(CatalogError):
    """An unfinished run still reads this version, so the version's content is not removed yet."""

    code = "version_in_use"


class PreconditionFailedError(CatalogError):
    """The document or collection has changed since the caller last read it."""

    code = "precondition_failed"
    default_hint = "Fetch the resource again, check what changed, and send its new ETag in If-Match."


class IncompleteVersionError(CatalogError):
    """The index lacks chunks of a replacement, so the version that it replaces stays active."""

    code = "version_incomplete"
    default_hint = "Replace the document again. If this persists, check that the vector index is not losing data."


class OriginalLostError(IngestError):
    """The catalog contains the document, but its original is missing from the blobs."""

    code = "original_lost"
    default_hint = "Restore the blobs from a backup, or upload the document again. `leadline verify` lists such files."


class ContentChangedError(IngestError):
    """Stored content of a document is missing, or differs from the bytes that Leadline wrote."""

    code = "content_changed"
    default_hint = "Run `leadline verify`, then restore the file from a backup or upload the document again."


class TextLostError(ContentChangedError):
    """The catalog contains the document, but its normalized text or another derived file is missing from the blobs."""

    code = "text_lost"
    default_hint = "Restore the blobs from a backup, or delete the document and upload it again."


class BlobChangedError(ContentChangedError):
    """A sealed file was changed, swapped with another file, or replaced by a file in a rejected format."""

    code = "blob_changed"
    public_detail = "A stored file was changed or damaged."


class BlobNameError(IngestError):
    """The catalog or a backup contains a file key that Leadline never creates, for example one outside the folder."""

    code = "blob_name"
    public_detail = "The record of a stored file is damaged."
    default_hint = "The catalog was changed by another program: restore it from a backup."


class BackupError(IngestError):
    """The folder is not a complete backup, or a backup cannot be created or restored there."""

    code = "backup"
    default_hint = "Run `leadline backup verify FOLDER` to see what a folder contains."


class RestoreUnfinishedError(BackupError):
    """A restore into this folder was interrupted."""

    code = "restore_unfinished"
    default_hint = "Run `leadline restore` with the same folder again; it starts over and completes the restore."


class LeaseLostError(CatalogError):
    """Another worker now holds the job, so this worker's results must not be committed."""

    code = "lease_lost"


class ValueRejectedError(CatalogError):
    """The catalog's database does not accept a value in the request."""

    code = "value_refused"
    default_hint = "Remove NUL characters and extremely large numbers."


class CatalogSchemaError(CatalogError):
    """The catalog's schema belongs to another release."""

    code = "catalog_schema"
    public_detail = "The catalog cannot be used by this release."
    default_hint = "Start the release that wrote the catalog, or restore a backup."


class InstallationMismatchError(CatalogError):
    """The catalog, the data folder and the vector index do not belong to the same installation."""

    code = "installation_mismatch"
    default_hint = (
        "Restore components that belong together: `leadline installation show` describes each of them. If you "
        "combined them on purpose, stop the service and run `leadline installation adopt`."
    )


class CatalogDamagedError(CatalogError):
    """The catalog's file is damaged or is not a database."""

    code = "catalog_damaged"
    public_detail = "The catalog is damaged."
    default_hint = (
        "Stop the service, keep a copy of the data folder, and restore a backup with `leadline restore`. Check the "
        "disk first: damage to this file is often the first sign of a failing disk."
    )


class CatalogAccessError(CatalogError):
    """The catalog's database rejected the connection: the URL, user, password or database name is wrong."""

    code = "catalog_access"
    public_detail = "The catalog's database is not available."
    default_hint = (
        "Check the user, the password and the name of the database in the catalog's URL, such as "
        "postgresql+psycopg://USER:PASSWORD@HOST:5432/DATABASE."
    )


class CatalogUnavailableError(CatalogError):
    """The catalog's database does not respond or is too busy."""

    code = "catalog_unavailable"
    public_detail = "The catalog's database is not available."
    default_hint = "Try again in a moment. If this persists, check that the database server is running and reachable."


class CatalogLimitError(CatalogError):
    """The catalog's database cancelled a statement because it hit a limit or because a user cancelled it."""

    code = "catalog_limit"
    public_detail = "The catalog's database cancelled this request."
    default_hint = "Check the database's log; if it names a limit, raise that limit."


class BlobStoreError(IngestError):
    """The blob store cannot be used."""

    code = "blob_store"
    public_detail = "The file store is not available."


class BlobStoreUnavailableError(BlobStoreError):
    """The blob store does not respond or is too busy."""

    code = "blob_store_unavailable"
    default_hint = "Try again in a moment. If this persists, check that LEADLINE_S3_ENDPOINT is reachable from here."


class BlobStoreRejectedError(BlobStoreError):
    """The blob store rejected the request: the credentials, bucket name, region or this machine's clock is wrong."""

    code = "blob_store_refused"
    default_hint = "Check LEADLINE_BLOBS, LEADLINE_S3_REGION and the credentials; `leadline doctor` tests them."


class BlobKeyError(BlobStoreError):
    """Files are sealed with a key that is not configured."""

    code = "blob_key"
    default_hint = (
        "Add the earlier key after the new one in LEADLINE_BLOB_KEYS. Without the earlier key, the files are lost."
    )


class DataFolderBusyError(CatalogError):
    """Another process has the data folder open."""

    code = "data_folder_busy"
    default_hint = "Stop the other Leadline process, or choose another folder with LEADLINE_HOME."
