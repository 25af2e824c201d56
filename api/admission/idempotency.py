"""Idempotent and conditional requests: `Idempotency-Key`, and `ETag` with `If-Match`.

If a POST is repeated with the same key, the work is done only once, and each repeat gets the original response.

One middleware does this for every POST route. Responses are stored for a day, encrypted with the credential that sent
the request. The service stores only a digest of that credential, so nobody else can read the responses, not even from a
copy of the catalog. Responses that show documents are not stored. If such a request is repeated, its route loads the
object by the claim's id and shows only the content that the caller may see now.
"""

import asyncio
import hashlib
import json
import re
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from secrets import token_bytes
from typing import Any

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.admission.admission import get_credential
from api.http.bounds import has_file_body
from api.http.middleware import CALLER
from api.http.problems import BadRequestError, PreconditionRequiredError
from api.http.threads import Threads
from ingest.storage.documents.cards.records import DocumentCard
from ingest.storage.documents.collection_records import Collection
from ingest.storage.documents.records import Document
from ingest.storage.errors import IdempotencyKeyReusedError, InputError, LeadlineError
from ingest.storage.idempotency import LEASE_SECONDS, Claim, IdempotencyKeys

log = structlog.get_logger(__name__)

HEADER, REPLAYED = b"idempotency-key", (b"idempotent-replayed", b"true")
MAX_KEY_CHARS = 200
# Maximum size of a sealed response. A larger response is not stored, and its `Idempotency-Key` is released.
MAX_RESPONSE_BYTES = 256 * 1024
# Matches requests that are safe to repeat without an `Idempotency-Key`: they only read, or repeating them changes
# nothing. Sign-in and sign-out are included, so that their responses are never replayed. So are suggestions: a replayed
# one could be about a document that was closed in the meantime. Each logout token is accepted only once anyway.
REPEATABLE = re.compile(
    r".*/(search|cancel|close|estimate|input_tokens|embeddings)|/v1/suggestions|/v1/slack/check|/mcp|/v1/sign-(in|out)"
    r"|/v1/back-channel-logout"
)
# Maximum factor by which compression shrinks JSON. A body that is longer than `MAX_RESPONSE_BYTES` times this factor
# could not be stored, so it is not buffered.
_MAX_COMPRESSION = 16
_CLAIM_KEY = "leadline.claim"
_NONCE_BYTES = 12
_BOUNDARY = re.compile(rb'multipart/form-data.*?boundary="?([^";,]+)', re.IGNORECASE | re.DOTALL)


@dataclass
class ClaimedRequest:
    """A request's claim on its `Idempotency-Key`, for use by the route.

    A route sets `shows_again` if it stores its result under the claim's id and can load it when the request is
    repeated. The route sets `is_made` once the result is stored.
    """

    claim: Claim
    shows_again: bool = False
    is_made: bool = False

    @property
    def id(self) -> str:
        return self.claim.id

    @property
    def is_repeat(self) -> bool:
        return self.claim.is_repeat


def accepts_idempotency_key(path: str) -> bool:
    """Return whether a `POST` to this path honours `Idempotency-Key`."""
    return REPEATABLE.fullmatch(path.rstrip("/")) is None


def get_claimed_request(request: Request) -> ClaimedRequest | None:
    """Return the request's claim on its `Idempotency-Key`, or None if the request has no such header."""
    found: ClaimedRequest | None = request.scope.get(_CLAIM_KEY)
    return found


class Idempotency:
    """Pure ASGI middleware that replays responses. Idempotency keys are looked up in `threads`."""

    def __init__(self, app: ASGIApp, *, keys: IdempotencyKeys, threads: Threads) -> None:
        self._app = app
        self._keys = keys
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, caller = _parse_idempotency_key(scope), scope.get(CALLER)
        if key is None or caller is None:
            await self._app(scope, receive, send)
            return
        secret, body = _ResponseCipher(scope, key), _RequestBody(scope, receive)
        if not has_file_body(scope):
            await body.read_all()
        # guard: idempotency-owner
        owner = f"{caller.key_id or caller.owner}\0".encode() + key
        claim = await self._threads.run(
            self._keys.claim, caller.tenant_id, hashlib.sha256(owner).hexdigest(), _compute_request_digest(scope, body)
        )
        if claim.response is not None:
            await body.read_all()
            if claim.body_sha256 not in (None, body.sha256):
                raise IdempotencyKeyReusedError("This Idempotency-Key was already used with a different body.")
            await _send_replay(secret.decrypt(claim.response), send)
            return
        made = scope[_CLAIM_KEY] = ClaimedRequest(claim)
        if claim.is_done:
            await self._app(scope, body.receive, _mark_replayed(send))
            return
        await self._run_claimed_request(scope, body, send, made, secret)

    async def _run_claimed_request(
        self, scope: Scope, body: "_RequestBody", send: Send, claimed_request: ClaimedRequest, cipher: "_ResponseCipher"
    ) -> None:
        answer = _ResponseRecorder(send, claimed_request, partial(self._record_outcome, claimed_request, body, cipher))
        renewing = asyncio.create_task(self._renew_lease(claimed_request.claim))
        try:
            await self._app(scope, body.receive, answer)
        finally:
            renewing.cancel()
            if not answer.is_settled:  # If the request failed or the client disconnected, the client may retry it.
                await asyncio.shield(self._run_and_log_errors(self._keys.release, claimed_request.claim))

    async def _record_outcome(
        self,
        claimed_request: ClaimedRequest,
        body: "_RequestBody",
        cipher: "_ResponseCipher",
        recorder: "_ResponseRecorder",
    ) -> None:
        """Store a response before its last part is sent. If nothing was changed, release the key instead."""
        claim, keys = claimed_request.claim, self._keys
        if recorder.status >= 500:
            await self._run_and_log_errors(keys.release, claim)
        elif recorder.status >= 300:
            await self._run_and_log_errors(keys.delete, claim)
        elif claimed_request.shows_again:
            await (
                self._run_and_log_errors(keys.store_response, claim, None)
                if claimed_request.is_made
                else self._run_and_log_errors(keys.release, claim)
            )
        else:
            sealed = cipher.encrypt(recorder.status, recorder.headers, bytes(recorder.body))
            if len(sealed) > MAX_RESPONSE_BYTES or recorder.is_cut:
                await self._run_and_log_errors(keys.delete, claim)
            else:
                await self._run_and_log_errors(
                    keys.store_response, claim, sealed, body.sha256 if has_file_body(body.scope) else None
                )

    async def _renew_lease(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            await self._run_and_log_errors(self._keys.renew, claim)

    async def _run_and_log_errors(self, function: Callable[..., None], *arguments: object) -> None:
        """Run a bookkeeping step. Errors are logged but not raised, because the client must get its response."""
        try:
            await self._threads.run(function, *arguments)
        except LeadlineError as error:
            log.warning("response not stored under its Idempotency-Key", error=repr(error))


class _RequestBody:
    """A request body with its digest. The digest ignores a form's multipart boundary, which differs on each attempt."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self._receive = receive
        self._sha256 = hashlib.sha256()
        kind = next((value for name, value in scope["headers"] if name == b"content-type"), b"")
        found = _BOUNDARY.match(kind)
        self._boundary = found[1] if found else None
        self._tail = b""
        self._read: list[Message] = []
        self._ended = False

    @property
    def sha256(self) -> str:
        whole = self._sha256.copy()
        whole.update(self._tail)
        return whole.hexdigest()

    async def read_all(self) -> None:
        """Read the whole body. A body that is not a file is buffered for the application."""
        keeps = not has_file_body(self.scope)
        while not self._ended:
            message = await self._read_message()
            if keeps:
                self._read.append(message)

    async def receive(self) -> Message:
        return self._read.pop(0) if self._read else await self._read_message()

    async def _read_message(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request" and not self._ended:
            self._update_digest(message.get("body", b""))
        self._ended |= message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _update_digest(self, block: bytes) -> None:
        if self._boundary is None:
            self._sha256.update(block)
            return
        data = (self._tail + block).replace(self._boundary, b"")
        # The boundary may continue in the next block, so bytes that may be its beginning are held back.
        keep = len(self._boundary) - 1
        self._tail = data[-keep:] if keep else b""
        self._sha256.update(data[: len(data) - len(self._tail)])


class _ResponseRecorder:
    """Forwards a response, and calls `on_complete` before sending the last part.

    If the request's result is stored before that, `on_complete` is called before the next part: a client that has read
    the last event of a stream does not wait for the end of the response, and may repeat its request at once.
    """

    def __init__(
        self,
        send: Send,
        claimed_request: ClaimedRequest,
        on_complete: Callable[["_ResponseRecorder"], Awaitable[None]],
    ) -> None:
        self._send = send
        self._claimed_request = claimed_request
        self._settle = on_complete
        self.status = 500
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.is_cut = self.is_settled = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], list(message.get("headers", []))
        elif message["type"] == "http.response.body":
            self.is_cut |= len(self.body) > _MAX_COMPRESSION * MAX_RESPONSE_BYTES
            self.body += b"" if self.is_cut else message.get("body", b"")
            has_result = self._claimed_request.shows_again and self._claimed_request.is_made
            if not self.is_settled and (has_result or not message.get("more_body", False)):
                self.is_settled = True
                # Shield this call from cancellation, because the outcome must be recorded even if the client
                # disconnects now.
                await asyncio.shield(self._settle(self))
        await self._send(message)


class _ResponseCipher:
    """Encrypts responses with a key derived from the client's credential and Idempotency-Key.

    Neither the credential nor the Idempotency-Key is stored.
    """

    def __init__(self, scope: Scope, key: bytes) -> None:
        secret = (get_credential(scope) or "").encode() + b"\0" + key
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"leadline idempotency").derive(secret)
        self._cipher = AESGCM(derived)

    def encrypt(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        head = {"status": status, "headers": [[part.decode("latin-1") for part in header] for header in headers]}
        nonce = token_bytes(_NONCE_BYTES)
        content = zlib.compress(json.dumps(head).encode() + b"\n" + body)
        # guard: idempotency-sealed
        return nonce + self._cipher.encrypt(nonce, content, None)

    def decrypt(self, encrypted_response: bytes) -> tuple[dict[str, Any], bytes]:
        """Decrypt a response and return its head and body.

        Raises `IdempotencyKeyReusedError` if the response was sealed with another credential.
        """
        try:
            content = self._cipher.decrypt(encrypted_response[:_NONCE_BYTES], encrypted_response[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise IdempotencyKeyReusedError(
                "The response stored under this Idempotency-Key belongs to another of your tokens or sessions, and can "
                "only be replayed to that token or session.",
                hint="Check whether the request took effect. If it did not, send the request with a new "
                "Idempotency-Key.",
            ) from error
        head, _, body = zlib.decompress(content).partition(b"\n")
        return json.loads(head), body


async def _send_replay(response: tuple[dict[str, Any], bytes], send: Send) -> None:
    head, body = response
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head["headers"]]
    await send({"type": "http.response.start", "status": head["status"], "headers": [*headers, REPLAYED]})
    await send({"type": "http.response.body", "body": body})


def _mark_replayed(send: Send) -> Send:
    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), REPLAYED]
        await send(message)

    return send_marked


def _parse_idempotency_key(scope: Scope) -> bytes | None:
    """Return the Idempotency-Key of a POST request, or None if it has none. Raises `InputError` for an invalid key."""
    if scope["type"] != "http" or scope["method"] != "POST" or not accepts_idempotency_key(scope["path"]):
        return None
    given = [bytes(value) for name, value in scope["headers"] if name == HEADER]
    if not given:
        return None
    if len(given) > 1 or not 0 < len(given[0]) <= MAX_KEY_CHARS:
        raise InputError("header.idempotency-key", f"Send one key of 1 to {MAX_KEY_CHARS} characters.")
    return given[0]


def _compute_request_digest(scope: Scope, body: _RequestBody) -> str:
    """Return a digest of the method, the URL and, if the body was read, the body."""
    address = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"]
    read = b"" if has_file_body(scope) else body.sha256.encode()
    return hashlib.sha256(address + b"\0" + read).hexdigest()


_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def build_etag_headers(resource: Document | DocumentCard | Collection) -> dict[str, str]:
    """Return the `ETag` header of a document, its card or a collection."""
    return {"ETag": f'"{resource.tag}"'}


def parse_if_match(if_match: str | None) -> frozenset[str] | None:
    """Return the tags that an `If-Match` header accepts, or None for `*`, which accepts any tag.

    Raises `PreconditionRequiredError` if the header is missing. Weak tags never match (RFC 9110, 13.1.1).
    """
    if if_match is None:
        raise PreconditionRequiredError(
            "This change needs an If-Match header, so that it cannot overwrite another change."
        )
    if if_match.strip() == "*":
        return None
    found = [_ETAG.fullmatch(part.strip()) for part in if_match.split(",")]
    if not all(found):
        raise BadRequestError(
            "The If-Match header is not valid.", hint='Send the ETag unchanged, including its quotes: "1b2c…".'
        )
    return frozenset(tag.group(2) for tag in found if tag and not tag.group(1))
