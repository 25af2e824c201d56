"""Repeated and conditional requests: `Idempotency-Key`, and `ETag` with `If-Match`.

A POST that is sent again under its key is answered as it was, and does its work once.

One wrapper does so for every route that is posted to. The response is kept for a day, sealed with the credential that
sent it, of which the service has only a digest: nobody else can read it, in a copy of the catalog neither. Responses
that show documents are not kept: their routes show again what was made under the id of the claim, as the caller may
see it by now.
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
from ingest.storage.documents.collection_records import Collection
from ingest.storage.documents.records import Document
from ingest.storage.errors import IdempotencyKeyReusedError, InputError, LeadlineError
from ingest.storage.idempotency import LEASE_SECONDS, Claim, IdempotencyKeys

log = structlog.get_logger(__name__)

HEADER, REPLAYED = b"idempotency-key", (b"idempotent-replayed", b"true")
MAX_KEY_CHARS = 200
# Sealed responses are this large at most; the key of a larger one is given up.
MAX_RESPONSE_BYTES = 256 * 1024
# What may be sent again without harm: it reads, or does again what is done. Sessions are nobody's to repeat.
REPEATABLE = re.compile(r".*/(search|cancel|close|estimate)|/mcp|/v1/sign-(in|out)")
# JSON packs this well at most; what is longer is not held.
_MAX_COMPRESSION = 16
_CLAIM_KEY = "leadline.claim"
_NONCE_BYTES = 12
_BOUNDARY = re.compile(rb'multipart/form-data.*?boundary="?([^";,]+)', re.IGNORECASE | re.DOTALL)


@dataclass
class ClaimedRequest:
    """The claim of a request, for its route. What the route makes under the id it `shows_again`, once it `is_made`."""

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
    """True for a path whose `POST` is done once under its key."""
    return REPEATABLE.fullmatch(path.rstrip("/")) is None


def get_claim(request: Request) -> ClaimedRequest | None:
    """Return the claim that a request's `Idempotency-Key` made; None for a request without one."""
    found: ClaimedRequest | None = request.scope.get(_CLAIM_KEY)
    return found


class Idempotency:
    """A pure ASGI wrapper of the application; `keys` are looked up in `threads`."""

    def __init__(self, app: ASGIApp, *, keys: IdempotencyKeys, threads: Threads) -> None:
        self._app = app
        self._keys = keys
        self._threads = threads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key, caller = _read_key(scope), scope.get(CALLER)
        if key is None or caller is None:
            await self._app(scope, receive, send)
            return
        secret, body = _ResponseSeal(scope, key), _Body(scope, receive)
        if not has_file_body(scope):
            await body.read()
        # guard: idempotency-owner
        owner = f"{caller.key_id or caller.owner}\0".encode() + key
        claim = await self._threads.run(
            self._keys.claim, caller.tenant_id, hashlib.sha256(owner).hexdigest(), _compute_digest(scope, body)
        )
        if claim.response is not None:
            await body.read()
            if claim.body_sha256 not in (None, body.sha256):
                raise IdempotencyKeyReusedError("The Idempotency-Key belongs to a request with another body.")
            await _send_replay(secret.unseal(claim.response), send)
            return
        made = scope[_CLAIM_KEY] = ClaimedRequest(claim)
        if claim.is_done:
            await self._app(scope, body.receive, _mark_replayed(send))
            return
        await self._run_claimed(scope, body, send, made, secret)

    async def _run_claimed(
        self, scope: Scope, body: "_Body", send: Send, made: ClaimedRequest, secret: "_ResponseSeal"
    ) -> None:
        answer = _ResponseRecorder(send, partial(self._record_outcome, made, body, secret))
        renewing = asyncio.create_task(self._renew_lease(made.claim))
        try:
            await self._app(scope, body.receive, answer)
        finally:
            renewing.cancel()
            if not answer.is_settled:  # it failed, or the client has gone: the same request may begin again
                await asyncio.shield(self._run_or_log(self._keys.release, made.claim))

    async def _record_outcome(
        self, made: ClaimedRequest, body: "_Body", secret: "_ResponseSeal", answer: "_ResponseRecorder"
    ) -> None:
        """Keep a response before its end is sent. One that changed nothing gives the key up."""
        claim, keys = made.claim, self._keys
        if answer.status >= 500:
            await self._run_or_log(keys.release, claim)
        elif answer.status >= 300:
            await self._run_or_log(keys.delete, claim)
        elif made.shows_again:
            await (
                self._run_or_log(keys.store_response, claim, None)
                if made.is_made
                else self._run_or_log(keys.release, claim)
            )
        else:
            sealed = secret.seal(answer.status, answer.headers, bytes(answer.body))
            if len(sealed) > MAX_RESPONSE_BYTES or answer.is_cut:
                await self._run_or_log(keys.delete, claim)
            else:
                await self._run_or_log(
                    keys.store_response, claim, sealed, body.sha256 if has_file_body(body.scope) else None
                )

    async def _renew_lease(self, claim: Claim) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 3)
            await self._run_or_log(self._keys.renew, claim)

    async def _run_or_log(self, step: Callable[..., None], *arguments: object) -> None:
        """Take a step that must not cost a client its response, which was worked for."""
        try:
            await self._threads.run(step, *arguments)
        except LeadlineError as error:
            log.warning("a response was not kept under its Idempotency-Key", error=repr(error))


class _Body:
    """The body of a request with its digest, in which the boundary of a form does not count: each try has its own."""

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

    async def read(self) -> None:
        """Read to the end; what is no file is kept for the application."""
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
        keep = len(self._boundary) - 1
        self._tail = data[-keep:] if keep else b""
        self._sha256.update(data[: len(data) - len(self._tail)])


class _ResponseRecorder:
    """Passes a response on, and has it settled before its last part is sent."""

    def __init__(self, send: Send, settle: Callable[["_ResponseRecorder"], Awaitable[None]]) -> None:
        self._send = send
        self._settle = settle
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
            if not message.get("more_body", False):
                self.is_settled = True
                await asyncio.shield(self._settle(self))
        await self._send(message)


class _ResponseSeal:
    """Seals responses with the credential and the key that a client sent, neither of which is kept."""

    def __init__(self, scope: Scope, key: bytes) -> None:
        secret = (get_credential(scope) or "").encode() + b"\0" + key
        derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"leadline idempotency").derive(secret)
        self._cipher = AESGCM(derived)

    def seal(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
        head = {"status": status, "headers": [[part.decode("latin-1") for part in header] for header in headers]}
        nonce = token_bytes(_NONCE_BYTES)
        content = zlib.compress(json.dumps(head).encode() + b"\n" + body)
        # guard: idempotency-sealed
        return nonce + self._cipher.encrypt(nonce, content, None)

    def unseal(self, sealed: bytes) -> tuple[dict[str, Any], bytes]:
        """Return head and body of a response. Raises `IdempotencyKeyReusedError` for that of another credential."""
        try:
            content = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
        except InvalidTag as error:
            raise IdempotencyKeyReusedError(
                "The response under this Idempotency-Key went to another token or session of yours, which alone can "
                "have it again.",
                hint="Look whether what you asked for is there, and send a new Idempotency-Key if it is not.",
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


def _read_key(scope: Scope) -> bytes | None:
    """Return the key of a request that is to be done once. Raises `InputError` for one that is none."""
    if scope["type"] != "http" or scope["method"] != "POST" or not accepts_idempotency_key(scope["path"]):
        return None
    given = [bytes(value) for name, value in scope["headers"] if name == HEADER]
    if not given:
        return None
    if len(given) > 1 or not 0 < len(given[0]) <= MAX_KEY_CHARS:
        raise InputError("header.idempotency-key", f"A key is one text of 1 to {MAX_KEY_CHARS} characters.")
    return given[0]


def _compute_digest(scope: Scope, body: _Body) -> str:
    """Return a digest of method, address and, of a body that was read, the body."""
    address = f"{scope['method']} {scope['path']}?".encode() + scope["query_string"]
    read = b"" if has_file_body(scope) else body.sha256.encode()
    return hashlib.sha256(address + b"\0" + read).hexdigest()


_ETAG = re.compile(r'(W/)?"([\x21\x23-\x7e\x80-\xff]*)"')


def build_etag_headers(shown: Document | Collection) -> dict[str, str]:
    """Return the header for a document or a collection."""
    return {"ETag": f'"{shown.tag}"'}


def parse_if_match(if_match: str | None) -> frozenset[str] | None:
    """Return the tags that an `If-Match` header admits; None for `*`, which admits any.

    Raises `PreconditionRequiredError` without a header. A weak tag admits nothing (RFC 9110, 13.1.1).
    """
    if if_match is None:
        raise PreconditionRequiredError("Changing this needs If-Match, so that nobody's change is lost.")
    if if_match.strip() == "*":
        return None
    found = [_ETAG.fullmatch(part.strip()) for part in if_match.split(",")]
    if not all(found):
        raise BadRequestError("If-Match cannot be read.", hint='Send the ETag as it came, quotes included: "1b2c…".')
    return frozenset(tag.group(2) for tag in found if tag and not tag.group(1))
