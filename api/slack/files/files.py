"""Turns files shared with the bot into documents, and deletes documents whose files are deleted in Slack.

The files of a message are processed in steps. Each step downloads files, checks the progress of their documents, and
updates the reply in the thread. It can run in any process and starts from the state in the catalog, so nothing is lost
if a process dies.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

import structlog

from api.admission.services import Services
from api.answers.wording import describe_failure
from api.http.threads import Threads
from api.languages.catalogue import DEFAULT, Texts
from api.slack.errors import (
    FileRefusedError,
    SlackBusyError,
    SlackError,
    SlackRefusedError,
    SlackUnavailableError,
)
from api.slack.files.downloads import (
    RemoteFile,
    build_deleted_error,
    build_too_large_error,
    build_unreadable_error,
    iter_file_blocks,
    parse_remote_file,
)
from api.slack.files.file_messages import FileStatus, build_files_message
from api.slack.files.notice import FilesNotice
from api.slack.leases import LeasedWorker
from api.slack.people import People
from api.slack.replies.failures import describe_error
from api.slack.web import OpenWeb, SlackWeb
from ingest.intake import TEMPORARY_ERRORS, UploadRequest
from ingest.storage.accounts.records import SLACK_KEY_PREFIX, Principal
from ingest.storage.documents.records import IN_PROGRESS, VersionState
from ingest.storage.errors import (
    CatalogUnavailableError,
    DocumentNotFoundError,
    LeadlineError,
    LeaseLostError,
    UploadTooLargeError,
)
from ingest.storage.instrumentation import reach_fault_point
from ingest.storage.queue.records import Failure, JobKind
from ingest.storage.quotas.records import StorageQuotaExceededError
from ingest.storage.slack.members import build_channel_group
from ingest.storage.slack.records import (
    NO_FAILURE,
    Audience,
    FileShare,
    SharedFile,
    SharedFileState,
    ShareState,
    Workspace,
)

log = structlog.get_logger(__name__)

_AT_ONCE = 8
_THREADS, _FETCHES = 4, 4
# Intervals at which progress is checked: `_SOON_SECONDS` for the first `_SOON` seconds after the message, and then
# `_LATER_SECONDS`.
_SOON_SECONDS, _SOON, _LATER_SECONDS = 2.0, 60.0, 15.0
_LONGEST_PAUSE_SECONDS, _GIVEN_UP_SECONDS = 300.0, 86_400.0
# Number of failed attempts in a row after which the file is rejected.
_MAX_ATTEMPTS = 8
_DIRECT = "D"  # First letter of the ids of direct message channels.
_MISSING = frozenset({"file_not_found", "file_deleted"})


def build_file_worker(services: Services, people: People, open_web: OpenWeb) -> LeasedWorker[FileShare]:
    """Build the worker that processes the files of all messages. Each step is one attempt."""
    threads = Threads(_THREADS)
    step = partial(_FileStep, services, people, open_web, threads, Threads(_FETCHES))
    return LeasedWorker(services, services.slack.files, step, threads, max_concurrent=_AT_ONCE)


class _FileStep:
    """One step in processing the files of a message."""

    def __init__(
        self,
        services: Services,
        people: People,
        open_web: OpenWeb,
        threads: Threads,
        download_threads: Threads,
        share: FileShare,
    ) -> None:
        self._served = services
        self._store = services.slack.files
        self._people = people
        self._open_web = open_web
        self._threads = threads
        self._fetches = download_threads
        self._share = share
        self._texts = Texts(DEFAULT)  # In the language of the person who shared the files.

    @property
    def about(self) -> Mapping[str, str]:
        return {"slack_share": self._share.id, "tenant": self._share.shared.tenant_id}

    async def execute(self) -> None:
        """Run one step, then requeue the files for the next step or mark them as finished. Does not raise."""
        try:
            await self._advance_files()
        except LeaseLostError:
            return
        except SlackRefusedError as error:
            log.warning("message about files refused", reason=error.reason)
            await self._end_share(ShareState.GIVEN_UP, error.reason)
        except (SlackError, CatalogUnavailableError, *TEMPORARY_ERRORS) as error:
            await self._postpone_step(error)
        except Exception:
            log.exception("step for files failed")
            await self._postpone_step(SlackError("unexpected error"))

    async def release(self) -> None:
        """Requeue the files, so that another process can run the next step immediately."""
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(self._store.requeue, self._share, 0.0)

    async def _advance_files(self) -> None:
        shared = self._share.shared
        workspace = await self._threads.run(self._served.slack.store.find_workspace, shared.team_id)
        if workspace is None:
            await self._end_share(ShareState.GIVEN_UP, "workspace_gone")
            return
        web = self._open_web(workspace)
        self._texts = await self._people.fetch_texts(web, workspace, shared.user_id)
        await self._process_deleted_files()
        notice = FilesNotice(web, self._store, workspace, self._threads)
        self._share = await notice.recover_reply(self._share)
        self._share = await notice.show_message(
            self._share, build_files_message(await self._threads.run(self._load_statuses), self._texts)
        )
        late = await self._process_waiting_files(web, workspace)
        seen = await self._threads.run(self._load_statuses)
        for each in seen:
            if each.file not in self._share.files:
                await self._store_changed_file(each.file)
        self._share = await notice.show_message(self._share, build_files_message(seen, self._texts))
        reach_fault_point("slack.file_told")
        if late is not None:
            raise late
        if all(file.is_finished for file in self._share.files):
            await self._end_share(ShareState.ENDED)
        else:
            soon = time.time() - self._share.created_at < _SOON
            await self._threads.run(self._store.requeue, self._share, _SOON_SECONDS if soon else _LATER_SECONDS)

    async def _process_waiting_files(self, web: SlackWeb, workspace: Workspace) -> LeadlineError | None:
        """Process all waiting files, even if some fail with a temporary error. Returns the last such error."""
        late: LeadlineError | None = None
        for file in self._share.files:
            if file.state is SharedFileState.WAITING and file.gone_at is None:
                try:
                    await self._store_changed_file(await self._process_file(web, workspace, file))
                except (SlackUnavailableError, SlackBusyError, *TEMPORARY_ERRORS) as error:
                    late = error
                    detail = self._texts.translate("It could not be added yet. I will try again soon.")
                    await self._store_changed_file(replace(file, said=Failure(error.code, detail)))
                reach_fault_point("slack.file_taken")
        return late

    async def _process_file(self, web: SlackWeb, workspace: Workspace, file: SharedFile) -> SharedFile:
        """Turn a file into a document or mark it as rejected. Raises temporary errors, for a retry by the next step."""
        try:
            described = (await web.call("files.info", file=file.file_id)).get("file") or {}
            settings = self._served.settings
            remote = parse_remote_file(described, self._texts, max_bytes=settings.max_upload_bytes)
            file = replace(file, name=remote.name)
            request, audience = await self._build_request(web, workspace, remote)
            document_id = await self._fetches.run(self._upload_file, web, request, remote)
        except SlackRefusedError as error:
            return self._build_refused_file(file, self._build_unreadable_error(error))
        except StorageQuotaExceededError as error:  # Do not retry, because waiting does not free storage.
            return self._build_refused_file(file, error)
        except (SlackUnavailableError, SlackBusyError, *TEMPORARY_ERRORS) as error:
            if self._share.failures + 1 < _MAX_ATTEMPTS or isinstance(error, SlackBusyError):
                raise
            detail = self._texts.translate("It could not be downloaded from Slack.")
            return self._build_refused_file(
                file, FileRefusedError(detail, hint=self._texts.translate("Share it again."))
            )
        except CatalogUnavailableError:
            raise
        except LeadlineError as error:
            return self._build_refused_file(file, error)
        return replace(file, state=SharedFileState.TAKEN, document_id=document_id, audience=audience, said=NO_FAILURE)

    async def _build_request(
        self, web: SlackWeb, workspace: Workspace, remote_file: RemoteFile
    ) -> tuple[UploadRequest, Audience]:
        """Build the upload request for a file, and determine its audience.

        A file from a private channel is visible only to those who can read the channel. Raises `SlackError`, including
        `FileRefusedError` if no one would be able to ask about the file.
        """
        shared = self._share.shared
        sharer = await self._people.fetch_user_principal(web, workspace, shared.channel, shared.user_id)
        audience, readers, sender = await self._resolve_audience(web, workspace, sharer)
        settings = await self._threads.run(
            self._served.slack.store.load_channel_settings, shared.team_id, shared.channel
        )
        collection = settings.files_to or next(iter(settings.collections), self._served.settings.slack_collection)
        if not sender.collections.can_read(collection):
            detail = self._texts.translate(
                "Not everybody in this channel may read the collection {collection}.", collection=collection
            )
            hint = self._texts.translate("Choose another collection for this channel's files in my home tab.")
            raise FileRefusedError(detail, hint=hint)
        request = UploadRequest(
            shared.tenant_id,
            collection,
            remote_file.name,
            declared_type=remote_file.media_type or None,
            attributes={"source": "slack", "slack_channel": shared.channel},
            key_id=f"{SLACK_KEY_PREFIX}{shared.channel}",
            owner="" if sharer.user is None else sharer.owner,
            readers=readers,
            sender=sender.readers,
            collections=sharer.collections,
        )
        return request, audience

    async def _resolve_audience(
        self, web: SlackWeb, workspace: Workspace, sharer: Principal
    ) -> tuple[Audience, frozenset[str] | None, Principal]:
        """Return the audience and readers of files in this channel, and a principal with the readers' access rights."""
        shared = self._share.shared
        own = frozenset({f"user:{sharer.user}"} if sharer.user is not None else ())
        if shared.channel.startswith(_DIRECT):
            if not own:
                raise FileRefusedError(
                    self._texts.translate("Leadline has no user with the email address of your Slack account."),
                    hint=self._texts.translate("Ask your administrator to add you, or share the file in a channel."),
                )
            return Audience.SHARER, own, sharer
        everybody = await self._people.fetch_channel_principal(web, workspace, shared.channel)
        described = (await web.call("conversations.info", channel=shared.channel)).get("channel") or {}
        if described.get("is_channel") and not described.get("is_private", True):
            return Audience.TENANT, None, everybody
        members = f"group:{build_channel_group(shared.team_id, shared.channel)}"
        # guard: slack-private-channel-files
        return Audience.CHANNEL, own | {members}, everybody

    def _upload_file(self, web: SlackWeb, request: UploadRequest, remote_file: RemoteFile) -> str:
        """Download a file from Slack, upload it like other documents, and return the document's id."""
        served = self._served
        read = iter_file_blocks(remote_file, web.token, web.url, self._texts, should_continue=lambda: served.accepting)
        try:
            with served.work.intake.receive_upload(request) as upload:
                for block in read:
                    upload.write(block)
                reach_fault_point("slack.file_fetched")
                document = upload.accept().document
        except UploadTooLargeError as error:
            raise build_too_large_error(served.settings.max_upload_bytes, self._texts) from error
        finally:
            read.close()
        reach_fault_point("slack.file_accepted")
        served.work.doorbell.notify(JobKind.INGEST)
        return document.id

    def _load_statuses(self) -> list[FileStatus]:
        """Load the state of each file's document. A file is finished once its document is finished."""
        return [self._load_status(file) for file in self._share.files]

    def _load_status(self, file: SharedFile) -> FileStatus:
        if file.document_id is None or file.state is SharedFileState.GONE:
            return FileStatus(file)
        catalog, tenant = self._served.documents.catalog, self._share.shared.tenant_id
        try:
            document = catalog.load_document(tenant, file.document_id)
        except DocumentNotFoundError:
            if file.state is SharedFileState.TAKEN:
                failure = Failure("deleted", self._texts.translate("Its document was deleted in Leadline."))
                file = replace(file, state=SharedFileState.FAILED, name="", said=failure)
            return FileStatus(file)
        version = document.version
        if file.state is SharedFileState.TAKEN and version.state not in IN_PROGRESS:
            if version.state is VersionState.READY:
                return FileStatus(replace(file, state=SharedFileState.READY), document)
            failure = Failure(
                "cancelled",
                self._texts.translate("Its processing was cancelled."),
                self._texts.translate("Share it again."),
            )
            if (said := version.failure) is not None:
                failure = Failure(said.code, *describe_failure(said.code, said.detail, said.hint, self._texts))
            return FileStatus(replace(file, state=SharedFileState.FAILED, said=failure), document)
        return FileStatus(
            file, document, catalog.load_progress(document) if file.state is SharedFileState.TAKEN else None
        )

    async def _process_deleted_files(self) -> None:
        """Delete the documents of files that were deleted in Slack, unless they must be kept."""
        for file in self._share.files:
            if file.gone_at is not None and file.state is not SharedFileState.GONE:
                await self._store_changed_file(await self._threads.run(self._delete_document, file))
                reach_fault_point("slack.file_deleted")

    def _delete_document(self, file: SharedFile) -> SharedFile:
        """Delete a file's document, unless it was also uploaded elsewhere or the file is still shared in Slack."""
        served, tenant = self._served, self._share.shared.tenant_id
        texts = self._texts
        deleted_file = replace(file, state=SharedFileState.GONE)
        if file.document_id is None:
            return _explain(replace(deleted_file, name=""), texts.translate("Leadline has stored nothing of it."))
        if not served.settings.slack_delete_files:
            return _explain(deleted_file, texts.translate("Its document stays, because of a setting of this service."))
        try:
            document = served.documents.catalog.load_document(tenant, file.document_id)
            # guard: slack-deletes-own-documents
            if not document.key_id.startswith(SLACK_KEY_PREFIX):
                detail = texts.translate("Its document stays, because it was also uploaded to Leadline.")
                return _explain(deleted_file, detail)
            # guard: slack-document-still-shared
            if self._store.is_shared_document(file.document_id):
                detail = texts.translate("Its document stays, because the same file is also shared elsewhere in Slack.")
                return _explain(deleted_file, detail)
            receipt = served.work.delete(tenant, file.document_id, None)
            served.work.doorbell.notify(JobKind.COLLECT)
        except DocumentNotFoundError:
            detail = texts.translate("Its document was already deleted.")
            return _explain(replace(deleted_file, name=""), detail)
        detail = texts.translate(
            "Its document and everything derived from it were deleted too. Receipt: {receipt}", receipt=receipt.id
        )
        return replace(deleted_file, said=Failure("deleted", detail), name="")

    def _build_refused_file(self, file: SharedFile, error: LeadlineError) -> SharedFile:
        said = Failure(error.code, *describe_error(error, self._texts))
        return replace(file, state=SharedFileState.REFUSED, said=said)

    def _build_unreadable_error(self, error: SlackRefusedError) -> FileRefusedError:
        """Build the error for a file whose description Slack refuses."""
        if error.reason in _MISSING:
            return build_deleted_error(self._texts)
        log.warning("file not readable", reason=error.reason)
        return build_unreadable_error(self._texts)

    async def _store_changed_file(self, file: SharedFile) -> None:
        self._share = await self._threads.run(self._store.update_file, self._share, file)

    async def _postpone_step(self, error: LeadlineError) -> None:
        """Requeue the files for a later retry. After a day, give up unless a deletion is pending."""
        if time.time() - self._share.created_at > _GIVEN_UP_SECONDS and not any(
            file.gone_at is not None and not file.is_finished for file in self._share.files
        ):
            await self._end_share(ShareState.GIVEN_UP, error.code)
            return
        pause = min(_LONGEST_PAUSE_SECONDS, 2.0 ** min(self._share.failures + 1, 10))
        if isinstance(error, SlackBusyError):
            pause = max(pause, error.seconds)
        log.warning("step for files postponed", code=error.code, error=str(error), seconds=pause)
        # If this call fails, the lease expires and another process continues.
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(partial(self._store.requeue, self._share, pause, has_failed=True))

    async def _end_share(self, state: ShareState, error_code: str | None = None) -> None:
        with suppress(LeaseLostError, CatalogUnavailableError):
            await self._threads.run(self._store.end_share, self._share, state, error_code)


def _explain(file: SharedFile, detail: str) -> SharedFile:
    return replace(file, said=Failure("", detail))
