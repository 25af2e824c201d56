"""Installs the app in a workspace with OAuth, through a link that connects the workspace to a tenant.

The link and the OAuth state are encrypted and short-lived. A cookie binds the state to the browser that started the
installation. Source: https://docs.slack.dev/authentication/installing-with-oauth.
"""

import hmac
import json
import secrets
import time
from base64 import urlsafe_b64encode
from typing import Annotated, Any

import structlog
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from fastapi import APIRouter, Cookie, Query
from slack_sdk.oauth import AuthorizeUrlGenerator
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from api.http.problems import BadRequestError
from api.http.threads import Threads
from api.languages.catalogue import COOKIE, Texts, choose_language
from api.settings.settings import Settings
from api.slack.errors import SealError
from api.slack.manifest import OPTIONAL_SCOPES, SCOPES
from api.slack.web import SlackWeb
from ingest.storage.blobs.keyring import KeyRing
from ingest.storage.slack.records import Workspace
from ingest.storage.slack.store import SlackStore


class TokenCipher:
    """Encrypts strings with the first key, and decrypts them with any key. Raises `SealError` if a key is invalid."""

    def __init__(self, keys: str) -> None:
        try:
            self._fernet = MultiFernet([Fernet(urlsafe_b64encode(key)) for key in KeyRing.parse(keys).keys])
        except ValueError as error:
            raise SealError(
                "LEADLINE_SLACK_TOKEN_KEYS contains an invalid key.", hint="Generate keys with `leadline slack key`."
            ) from error

    def encrypt_text(self, text: str) -> str:
        """Encrypt a string with the first key."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt_text(self, encrypted_text: str) -> str:
        """Decrypt a string. Raises `SealError` if none of the keys can decrypt it."""
        try:
            return self._fernet.decrypt(encrypted_text.encode()).decode()
        except InvalidToken as error:
            raise SealError(
                "A workspace's token was encrypted with a key that is not in LEADLINE_SLACK_TOKEN_KEYS.",
                hint="Append the earlier key to LEADLINE_SLACK_TOKEN_KEYS, or reinstall the app in the workspace.",
            ) from error

    def reencrypt_text(self, encrypted_text: str) -> str:
        """Decrypt a string, and encrypt it again with the first key."""
        return self._fernet.rotate(encrypted_text.encode()).decode()


log = structlog.get_logger(__name__)

LINK_SECONDS, _STATE_SECONDS = 3_600.0, 600.0
_COOKIE = "__Host-leadline-slack"
_TICKET, _STATE = "ticket", "state"


def build_install_link(settings: Settings, cipher: TokenCipher, tenant_id: str) -> str:
    """Build a link that installs the app in a workspace for a tenant. The link expires in an hour."""
    base = (settings.public_url or "").rstrip("/")
    return f"{base}/slack/install?ticket={_encrypt_fields(cipher, _TICKET, LINK_SECONDS, tenant=tenant_id)}"


class OAuthRoutes:
    """The routes of an OAuth installation. `settings` must contain an OAuth client and a public address."""

    def __init__(self, settings: Settings, store: SlackStore, cipher: TokenCipher, threads: Threads) -> None:
        self._settings = settings
        self._store = store
        self._seal = cipher
        self._threads = threads
        self._redirect = f"{(settings.public_url or '').rstrip('/')}/slack/oauth_redirect"

    def add_routes(self, router: APIRouter) -> None:
        router.get("/slack/install")(self._start_install)
        router.get("/slack/oauth_redirect")(self._finish_install)

    async def _start_install(self, request: Request, ticket: Annotated[str, Query(max_length=2_000)] = "") -> Response:
        opened = _decrypt_fields(self._seal, _TICKET, ticket, _choose_texts(request))
        nonce = secrets.token_urlsafe(24)
        state = _encrypt_fields(self._seal, _STATE, _STATE_SECONDS, tenant=opened["tenant"], nonce=nonce)
        address = AuthorizeUrlGenerator(
            client_id=self._settings.slack_client_id or "",
            scopes=[*SCOPES, *OPTIONAL_SCOPES],
            redirect_uri=self._redirect,
        ).generate(state)
        response = RedirectResponse(address, 302)
        response.set_cookie(
            _COOKIE, nonce, max_age=int(_STATE_SECONDS), path="/", secure=True, httponly=True, samesite="lax"
        )
        return response

    async def _finish_install(
        self,
        request: Request,
        state: Annotated[str, Query(max_length=2_000)] = "",
        code: Annotated[str, Query(max_length=1_000)] = "",
        error: Annotated[str, Query(max_length=200)] = "",
        nonce: Annotated[str, Cookie(alias=_COOKIE)] = "",
    ) -> Response:
        texts = _choose_texts(request)
        opened = _decrypt_fields(self._seal, _STATE, state, texts)
        if not hmac.compare_digest(str(opened["nonce"]).encode(), nonce.encode()):
            raise BadRequestError(
                texts.translate("This installation was started in a different browser."),
                hint=texts.translate("Open the link again in this browser."),
            )
        if error or not code:
            return _build_text_response(texts.translate("The app was not installed."))
        workspace = await self._exchange_code(code, str(opened["tenant"]), texts)
        await self._threads.run(self._store.install_workspace, workspace)
        log.info("app installed in workspace", team=workspace.team_id, tenant=workspace.tenant_id)
        response = _build_text_response(
            texts.translate(
                "Leadline is installed in {workspace}. To ask in a channel, write /invite @Leadline there.",
                workspace=workspace.name,
            )
        )
        response.delete_cookie(_COOKIE, path="/", secure=True, httponly=True, samesite="lax")
        return response

    async def _exchange_code(self, code: str, tenant_id: str, texts: Texts) -> Workspace:
        """Exchange an OAuth code for the workspace and its bot token.

        Raises `SlackError` if the exchange fails, and `BadRequestError` if the app was installed for an organization.
        """
        settings = self._settings
        secret = settings.slack_client_secret.get_secret_value() if settings.slack_client_secret else ""
        found = await SlackWeb("", settings.slack_api_url).exchange_code(
            client_id=settings.slack_client_id or "", client_secret=secret, code=code, redirect_uri=self._redirect
        )
        if found.get("is_enterprise_install") or not found.get("team"):
            raise BadRequestError(
                texts.translate("The app cannot be installed for an entire organization."),
                hint=texts.translate("Install it in one of its workspaces."),
            )
        return Workspace(
            str(found["team"]["id"]),
            tenant_id,
            str(found["team"].get("name", "")),
            str(found["bot_user_id"]),
            self._seal.encrypt_text(str(found["access_token"])),
            tuple(each for each in str(found.get("scope", "")).split(",") if each),
            str((found.get("authed_user") or {}).get("id", "")),
        )


def _encrypt_fields(cipher: TokenCipher, kind: str, lifetime_seconds: float, **fields: str) -> str:
    return cipher.encrypt_text(json.dumps({"kind": kind, "until": time.time() + lifetime_seconds, **fields}))


def _decrypt_fields(cipher: TokenCipher, kind: str, encrypted_text: str, texts: Texts) -> dict[str, Any]:
    """Decrypt the fields of a ticket or OAuth state.

    Raises `BadRequestError`, in the language of the person who follows the link, if it is invalid or expired.
    """
    hint = texts.translate("Ask your administrator for a new link. `leadline slack link` prints one.")
    try:
        found: dict[str, Any] = json.loads(cipher.decrypt_text(encrypted_text))
    except SealError as error:
        raise BadRequestError(texts.translate("This link is invalid."), hint=hint) from error
    if found.get("kind") != kind or float(found.get("until", 0)) < time.time():
        raise BadRequestError(texts.translate("This link has expired."), hint=hint)
    return found


def _choose_texts(request: Request) -> Texts:
    return Texts(choose_language(request.cookies.get(COOKIE), request.headers.get("Accept-Language")))


def _build_text_response(text: str) -> PlainTextResponse:
    return PlainTextResponse(text, headers={"Cache-Control": "no-store"})
