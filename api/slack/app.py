"""The Slack app, built on slack-bolt over HTTP or Socket Mode. Every event is stored before it is acknowledged."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import structlog
from fastapi import APIRouter, Request
from slack_bolt.adapter.fastapi.async_handler import AsyncSlackRequestHandler
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient
from starlette.responses import Response

from api.admission.services import Services
from api.http.threads import Threads
from api.languages.catalogue import DEFAULT, Texts
from api.slack.errors import NotConnectedError, SlackError
from api.slack.files.files import build_file_worker
from api.slack.home import HomeTab
from api.slack.installing import OAuthRoutes, TokenCipher
from api.slack.intake import SlackIntake
from api.slack.leases import cancel_tasks
from api.slack.manifest import SHORTCUT
from api.slack.people import People
from api.slack.replies.delivery import build_answer_worker
from api.slack.replies.live import set_session_state
from api.slack.replies.messages import FEEDBACK, GO_AHEAD, PRIVATELY
from api.slack.replies.waiting import DECISIONS, Decisions, Obstacle
from api.slack.web import SlackWeb
from ingest.storage.answers.feedback_records import Rating, Verdict
from ingest.storage.errors import AnswerNotFoundError
from ingest.storage.slack.records import SlackQuestion, Workspace

log = structlog.get_logger(__name__)

_THREADS = 4
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 300.0
# Maximum time for looking up the language of a command's user. Slack expects the response within three seconds.
_LANGUAGE_SECONDS = 1.0


class SlackApp:
    """The Slack bot of one process, which answers questions between `start` and `stop`.

    Several processes can share the work.
    """

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._served = services
        self._store = services.slack.store
        self._threads = Threads(_THREADS)
        keys = settings.slack_token_keys
        self._seal = None if keys is None else TokenCipher(keys.get_secret_value())
        self._own = settings.slack_bot_token and settings.slack_bot_token.get_secret_value()
        people = self._people = People(self._store, services.slack.files)
        self._work = (
            build_answer_worker(services, people, self.open_web),
            build_file_worker(services, people, self.open_web),
        )
        self._home = HomeTab(services, people, self.open_web, self._threads)
        self.intake = SlackIntake(services, self._store, self._wake_workers)
        self._decisions = Decisions(services, self._wake_workers)
        self._knows_own = not self._own  # Whether the workspace of the configured bot token is known.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._socket: AsyncSocketModeHandler | None = None
        secret = settings.slack_signing_secret
        self._bolt = AsyncApp(
            signing_secret="" if secret is None else secret.get_secret_value(),
            authorize=self._build_authorize_function(),  # type: ignore[arg-type]  # may return None, for a workspace where the app is not installed
            client=AsyncWebClient(base_url=settings.slack_api_url),
            process_before_response=True,
            request_verification_enabled=secret is not None,
        )
        self._register_listeners()
        handler = AsyncSlackRequestHandler(self._bolt)
        self.router = APIRouter(include_in_schema=False)
        if secret is not None:

            @self.router.post("/slack/events")
            async def events(request: Request) -> Response:
                return await handler.handle(request)

        if settings.slack_client_id is not None and self._seal is not None:
            OAuthRoutes(settings, self._store, self._seal, self._threads).add_routes(self.router)

    def open_web(self, workspace: Workspace) -> SlackWeb:
        """Create a Web API client for a workspace's bot. Raises `SealError` if the bot's token cannot be decrypted."""
        return SlackWeb(self._get_token(workspace), self._served.settings.slack_api_url)

    async def start(self) -> None:
        """Start answering questions and connecting to Slack in the background.

        The service therefore starts even during an outage of Slack.
        """
        self._loop = asyncio.get_running_loop()
        for each in (*(work.run() for work in self._work), self._connect_with_retries()):
            self._run_in_background(each)

    async def _connect_with_retries(self) -> None:
        """Look up the bot token's workspace and connect Socket Mode, if configured, retrying until both succeed."""
        token, pause = self._served.settings.slack_app_token, _FIRST_PAUSE_SECONDS
        while True:
            try:
                if self._own:
                    await self._install_own_workspace()
                if token is not None:
                    self._socket = AsyncSocketModeHandler(self._bolt, token.get_secret_value())
                    await self._socket.connect_async()  # type: ignore[no-untyped-call]
                return
            except Exception as error:  # noqa: BLE001 - slack-sdk raises errors of several libraries
                await self._close_socket_mode()
                log.warning("cannot connect to Slack", error=str(error), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    async def stop(self) -> None:
        await self._close_socket_mode()
        await cancel_tasks(*self._tasks)

    async def _close_socket_mode(self) -> None:
        """Close the Socket Mode connection, even if it is only partially open."""
        socket, self._socket = self._socket, None
        if socket is not None:
            with suppress(Exception):  # Discard the connection even if it cannot be closed.
                await socket.close_async()  # type: ignore[no-untyped-call]

    def _run_in_background(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine as a background task."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _wake_workers(self) -> None:
        """Wake the workers for questions and files. Can be called from any thread."""
        if self._loop is not None:
            for each in self._work:
                self._loop.call_soon_threadsafe(each.wake)

    def _get_token(self, workspace: Workspace) -> str:
        if workspace.token and self._seal is not None:
            return self._seal.decrypt_text(workspace.token)
        return self._own or ""

    async def _install_own_workspace(self) -> None:
        """Look up the configured bot token's workspace, and record it in the catalog."""
        settings = self._served.settings
        found = await SlackWeb(self._own or "", settings.slack_api_url).call("auth.test")
        workspace = Workspace(found["team_id"], settings.slack_tenant, found.get("team", ""), found["user_id"], "")
        known = await self._threads.run(self._store.find_workspace, workspace.team_id)
        if known is None or (known.tenant_id, known.bot_user_id) != (workspace.tenant_id, workspace.bot_user_id):
            await self._threads.run(self._store.install_workspace, workspace)
        self._knows_own = True

    def _build_authorize_function(self) -> Callable[..., Awaitable[AuthorizeResult | None]]:
        async def authorize(team_id: str | None, enterprise_id: str | None) -> AuthorizeResult | None:
            workspace = None if team_id is None else await self._threads.run(self._store.find_workspace, team_id)
            # guard: slack-event-before-own-token
            if workspace is None and not self._knows_own:  # After an error, Slack delivers the event again.
                raise NotConnectedError("The workspace of the bot token is not known yet.")
            if workspace is None:
                log.warning("event from a workspace without the app", team=team_id)
                return None
            return AuthorizeResult(
                enterprise_id=enterprise_id,
                team_id=team_id,
                bot_user_id=workspace.bot_user_id,
                bot_token=self._get_token(workspace),
            )

        # Return a function instead of a method, because slack-bolt passes arguments by name and would look for an
        # argument named `self`.
        return authorize

    def _register_listeners(self) -> None:
        bolt = self._bolt
        for kind in ("message", "app_mention"):
            bolt.event(kind)(self._on_message)
        bolt.event("agent_session_stopped")(self._on_session_stopped)
        bolt.event("file_deleted")(self._on_file_deleted)
        bolt.event("app_uninstalled")(self._on_app_uninstalled)
        bolt.event("tokens_revoked")(self._on_tokens_revoked)
        self._home.register_listeners(bolt)
        bolt.command("/ask")(self._on_command)
        bolt.shortcut(SHORTCUT)(self._on_shortcut)
        bolt.action(GO_AHEAD)(self._build_button_listener(self.intake.ask_confirmed_question))
        bolt.action(PRIVATELY)(self._build_button_listener(self.intake.ask_question_privately))
        bolt.action(FEEDBACK)(self._on_feedback)
        for action in DECISIONS:
            bolt.action(action)(self._on_decision)

    async def _on_message(self, body: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        workspace = await self._load_workspace(body)
        if workspace is not None:
            await self._threads.run(self.intake.accept_message, workspace, event, str(body.get("event_id")))

    async def _on_session_stopped(self, body: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        workspace = await self._load_workspace(body)
        if workspace is not None:
            channel, thread_ts = str(event["channel"]), str(event.get("thread_ts") or "")
            if not await self._threads.run(self.intake.cancel_thread_questions, workspace, channel, thread_ts):
                self._run_in_background(set_session_state(self.open_web(workspace), channel, thread_ts, "active"))

    async def _on_file_deleted(self, body: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        workspace = await self._load_workspace(body)
        if workspace is not None:
            await self._threads.run(self.intake.record_deleted_file, workspace, event)

    async def _on_app_uninstalled(self, body: Mapping[str, Any]) -> None:
        await self._threads.run(self._store.remove_workspace, str(body["team_id"]))

    async def _on_tokens_revoked(self, body: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        if (event.get("tokens") or {}).get("bot"):
            await self._threads.run(self._store.remove_workspace, str(body["team_id"]))

    async def _on_command(self, ack: AsyncAck, command: Mapping[str, Any]) -> None:
        text = str(command.get("text") or "").strip()
        workspace = await self._load_workspace(command)
        texts = Texts(DEFAULT) if workspace is None else await self._fetch_texts(workspace, str(command["user_id"]))
        if not text or workspace is None:
            await ack(text=texts.translate("Write a question after the command: `/ask What did we promise to Acme?`"))
            return
        await self._threads.run(
            self.intake.accept_command, workspace, str(command["user_id"]), text, str(command["trigger_id"])
        )
        await ack(text=texts.translate("I am working on it, and will answer in our direct messages."))

    async def _fetch_texts(self, workspace: Workspace, user_id: str) -> Texts:
        """Return the texts in a user's language, or in English if Slack does not respond quickly."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LANGUAGE_SECONDS):
                return await self._people.fetch_texts(self.open_web(workspace), workspace, user_id)
        return Texts(DEFAULT)

    async def _on_shortcut(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        workspace = await self._load_workspace(body)
        if workspace is not None:
            await self._threads.run(self.intake.accept_shortcut, workspace, body)
        await ack()

    def _build_button_listener(
        self, submit_question: Callable[[SlackQuestion, str, str], str | None]
    ) -> Callable[..., Awaitable[None]]:
        async def on_press(ack: AsyncAck, body: Mapping[str, Any]) -> None:
            question = await self._load_question(body, str(body["actions"][0]["value"]))
            if question is not None:
                trigger = str(body.get("trigger_id") or "button")
                await self._threads.run(submit_question, question, str(body["user"]["id"]), trigger)
            await ack()

        return on_press

    async def _on_decision(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        pressed, user_id = body["actions"][0], str(body["user"]["id"])
        identifier, _, raises = str(pressed["value"]).partition(":")
        question = await self._load_question(body, identifier)
        decide = self._decisions.apply_decision
        obstacle = await self._threads.run(decide, str(pressed["action_id"]), question, int(raises), user_id)
        await ack()
        workspace = await self._load_workspace(body)
        if obstacle is not None and workspace is not None:
            self._run_in_background(self._explain_obstacle(workspace, body, user_id, obstacle))

    async def _explain_obstacle(
        self, workspace: Workspace, body: Mapping[str, Any], user_id: str, obstacle: Obstacle
    ) -> None:
        """Post a message that only this user can see, with the reason why a decision has no effect."""
        web = self.open_web(workspace)
        text = obstacle(await self._people.fetch_texts(web, workspace, user_id))
        thread_ts = (body.get("container") or {}).get("thread_ts")
        where = {"channel": str(body["channel"]["id"]), **({"thread_ts": thread_ts} if thread_ts else {})}
        try:
            await web.call("chat.postEphemeral", user=user_id, text=text, **where)
        except SlackError as error:
            log.info("ephemeral message not sent", user=user_id, error=str(error))

    async def _on_feedback(self, ack: AsyncAck, body: Mapping[str, Any]) -> None:
        verdict, _, identifier = str(body["actions"][0]["value"]).partition(":")
        question = await self._load_question(body, identifier)
        if question is not None and question.run_id is not None:
            await self._threads.run(self._store_rating, question, str(body["user"]["id"]), verdict == "up")
        await ack()

    def _store_rating(self, question: SlackQuestion, user_id: str, is_good: bool) -> None:
        """Store a user's rating of an answer as feedback."""
        workspace = self._store.find_workspace(question.asked.team_id)
        if workspace is None or question.run_id is None:
            return
        verdict = Verdict(Rating.UP if is_good else Rating.DOWN)
        try:
            self._served.answers.feedback.record_feedback(
                workspace.tenant_id, question.run_id, f"slack:{user_id}", verdict
            )
        except AnswerNotFoundError:
            log.info("feedback on a deleted answer", question=question.id, run=question.run_id)

    async def _load_workspace(self, body: Mapping[str, Any]) -> Workspace | None:
        team = body.get("team_id") or (body.get("team") or {}).get("id")
        return None if team is None else await self._threads.run(self._store.find_workspace, str(team))

    async def _load_question(self, body: Mapping[str, Any], question_id: str) -> SlackQuestion | None:
        """Load a question, or return None if it does not belong to the workspace that sent the payload."""
        found = await self._threads.run(self._store.find_question, question_id)
        team = (body.get("team") or {}).get("id")
        return found if found is not None and found.asked.team_id == team else None
