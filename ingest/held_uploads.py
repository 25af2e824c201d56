"""Store the files of one request on disk until all have arrived, then accept them with a shared description.

Form fields that describe the files may come after the files, so nothing is recorded until the request is complete.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from ingest.intake import Intake, Upload, UploadRequest
from ingest.storage.blobs.store import IncomingUpload
from ingest.storage.documents.catalog import AcceptedUpload
from ingest.storage.errors import UploadError

Outcome = tuple[str, AcceptedUpload | UploadError]


@dataclass
class _HeldFile:
    """A file that is arriving or waiting to be accepted. A rejected file has a `refusal` and no `upload`."""

    name: str
    declared_type: str | None
    stack: ExitStack
    upload: Upload[AcceptedUpload] | None = None
    refusal: UploadError | None = None

    def reject(self, error: UploadError) -> None:
        self.refusal, self.upload = error, None
        self.stack.close()


class HeldUploads:
    """The files of one request, in order. If one is rejected, the others can still be accepted.

        held.start_file("tides.pdf", None)
        held.write(block)
        held.finish_file()
        for outcome in held.accept_each(description): ...

    `close` removes the bytes of all files that were not accepted.
    """

    def __init__(self, intake: Intake, request: UploadRequest) -> None:
        """Receive files for the owner in `request`. The rest of their description is passed to `accept_files`."""
        self._intake = intake
        self._request = request
        self._files: list[_HeldFile] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._files)

    def start_file(self, name: str, declared_type: str | None) -> None:
        """Start the next file."""
        file = _HeldFile(name, declared_type, ExitStack())
        self._files.append(file)
        request = replace(self._request, name=name, declared_type=declared_type)
        try:
            opened = self._intake.open_upload(request, self, pending_bytes=self._bytes)
            file.upload = file.stack.enter_context(opened)
        except UploadError as error:
            file.reject(error)

    def write(self, block: bytes) -> None:
        """Add a block to the current file."""
        file = self._files[-1]
        if file.upload is not None:
            try:
                file.upload.write(block)
            except UploadError as error:
                file.reject(error)

    def finish_file(self) -> None:
        """Finish the current file, and close its file descriptor until it is accepted."""
        file = self._files[-1]
        if file.upload is not None:
            try:
                self._bytes += file.upload.finish()
            except UploadError as error:
                file.reject(error)

    def accept_files(self, description: UploadRequest) -> Iterator[Outcome]:
        """Accept each file with its complete description, and yield the outcome.

        Rejected files are recorded in the batch that `description` names. Before the first file is accepted, the
        description is checked; this raises the same errors as `Intake.check_description`.
        """
        # guard: held-upload-checked
        self._intake.check_description(description)
        for file in self._files:
            request = replace(description, name=file.name, declared_type=file.declared_type)
            yield file.name, self._accept_file(file, request)
            file.stack.close()

    def _accept_file(self, file: _HeldFile, request: UploadRequest) -> AcceptedUpload | UploadError:
        if file.refusal is None and file.upload is not None:
            try:
                return file.upload.accept(request)
            except UploadError as error:
                file.refusal = error
        assert file.refusal is not None
        self._intake.record_rejection(request, file.refusal)
        return file.refusal

    def close(self) -> None:
        """Remove the bytes of all files that were not accepted."""
        for file in self._files:
            file.stack.close()

    def accept_upload(self, request: UploadRequest, incoming_upload: IncomingUpload, media_type: str) -> AcceptedUpload:
        """Accept a complete file from its `Upload`, after the files before it."""
        self._intake.require_backlog_capacity(request.tenant_id)
        return self._intake.accept_upload(request, incoming_upload, media_type)

    def record_rejection(self, request: UploadRequest, error: UploadError) -> None:
        """Do nothing yet, because a form field after the file may name its batch."""
