"""Slack as far as a bot meets it: the Web API over HTTP, signed events, limits, streams and faults; kept in memory.

It refuses what Slack refuses: blocks beyond the published limits (checked by slack-sdk's own models), streams that are
over, methods beyond their tier. `transcript` writes a conversation down as people would see it.
"""

import asyncio
import itertools
import json
import queue
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.slack.manifest import SCOPES
from tests.support.serving import serving
from tests.support.slack_posts import BOT, Posted, RefusedError, add_to_stream, checked, written
from tests.support.slack_sender import TEAM

BOT_TOKEN = "xoxb-of-the-bot"
APP_TOKEN = "xapp-of-the-app"
CLIENT_ID, CLIENT_SECRET, CODE = "1.2", "a client secret", "a code"
# Seconds after which Slack ends a stream.
STREAM_SECONDS = 300.0
_SESSIONS = frozenset({"processing", "active", "suspended", "closed"})
_STATUS_SECONDS = 120.0
DELETED = "This message was deleted."


@dataclass
class RemoteFile:
    """A file that somebody has uploaded; `facts` are what `files.info` tells of it besides."""

    id: str
    name: str
    content: bytes
    user: str
    facts: dict[str, Any] = field(default_factory=dict)
    fetched: int = 0
    deleted: bool = False


@dataclass
class Fault:
    """What happens to the next call of a method: a `status` is answered, after `seconds`, or the `error` of a refusal.

    Calls that are `done` take effect before. With `until`, the answer waits for that.
    """

    status: int = 200
    done: bool = False
    retry_after: float = 0.0
    seconds: float = 0.0
    error: str = ""
    until: threading.Event | None = None


class SlackDouble:
    """One workspace. `channels` maps ids to kinds (`channel`, `im`) and members, `people` ids to profiles."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.channels: dict[str, dict[str, Any]] = {}
        self.people: dict[str, dict[str, Any]] = {BOT: {"is_bot": True}}
        self.user_groups: list[dict[str, Any]] = []
        self.messages: dict[str, list[Posted]] = defaultdict(list)
        self.statuses: list[tuple[str, str, str]] = []
        self.sessions: dict[tuple[str, str], list[str]] = defaultdict(list)  # states of a thread's session, in order
        self.clock: Callable[[], float] = time.time
        self._status_at: dict[tuple[str, str], tuple[float, str]] = {}
        self.calls: Counter[str] = Counter()
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self.refused: list[str] = []
        self.files: dict[str, RemoteFile] = {}
        self.bodies: list[tuple[str, dict[str, Any]]] = []  # all that was ever sent to be shown, with its method
        self.tokens: list[str] = []  # that somebody wanted to fetch a file with, anywhere
        self.views: dict[str, dict[str, Any]] = {}  # the home of each user, and the last modal
        self.streams_for = STREAM_SECONDS
        self.url = ""
        self.scopes: list[str] = [*SCOPES]
        self._numbers = itertools.count(1)
        self._events = itertools.count(1)
        self._outgoing: queue.Queue[dict[str, Any]] = queue.Queue()
        self.acknowledged: list[str] = []
        self.whispers: list[tuple[str, str, str]] = []  # channel, user, and what that user alone was told

    # What people do.

    def channel(self, identifier: str, *members: str, kind: str = "channel") -> None:
        self.channels[identifier] = {"kind": kind, "members": [*members, BOT]}

    def person(self, identifier: str, mail: str | None = None, *, locale: str = "en-US") -> None:
        profile = {"email": mail} if mail else {}
        self.people[identifier] = {"team_id": TEAM, "profile": profile, "locale": locale}

    def says(self, user: str, channel: str, text: str, *, thread: str | None = None) -> dict[str, Any]:
        """Put a person's message into a channel; returns the body of its event."""
        with self.lock:
            message = Posted(channel, self._ts(), user, text, thread_ts=thread)
            self.messages[channel].append(message)
            kind = self.channels[channel]["kind"]
        event = {
            "type": "message",
            "user": user,
            "channel": channel,
            "channel_type": kind,
            "text": text,
            "ts": message.ts,
        }
        return self.event(event | ({"thread_ts": thread} if thread else {}))

    def stops(self, user: str, channel: str, thread: str) -> dict[str, Any]:
        """Press the button that stops a session: Slack ends the bot's streams in the thread, and sends an event."""
        with self.lock:
            streams = [each for each in self.replies(channel, thread) if self._is_streaming(each)]
            for each in streams:
                self._sealed(each)
        stopped = {"channel": channel, "thread_ts": thread, "streaming_message_ts": [each.ts for each in streams]}
        return self.event({"type": "agent_session_stopped", "user": user, **stopped})

    def uploads(self, user: str, name: str, content: bytes, **facts: Any) -> str:  # noqa: ANN401 - JSON
        """Upload a file, which nobody sees before it is shared; returns its id."""
        identifier = f"F0{next(self._numbers):06}"
        with self.lock:
            self.files[identifier] = RemoteFile(identifier, name, content, user, facts)
        return identifier

    def shares(self, user: str, channel: str, *files: str, text: str = "", thread: str | None = None) -> dict[str, Any]:
        """Put a message with files into a channel; returns the body of its event."""
        body = self.says(user, channel, text, thread=thread)
        described = [self._described(self.files[each]) for each in files]
        with self.lock:
            self.messages[channel][-1].files = [self.files[each].name for each in files]
        body["event"] |= {"subtype": "file_share", "files": described, "upload": False}
        return body

    def deletes_file(self, identifier: str) -> dict[str, Any]:
        """Delete a file; returns the body of the event."""
        self.files[identifier].deleted = True
        return self.event({"type": "file_deleted", "file_id": identifier, "event_ts": self._ts()})

    def deletes_message(self, channel: str, ts: str) -> dict[str, Any]:
        """Delete a message: one with replies becomes a tombstone."""
        with self.lock:
            has_replies = any(each.thread_ts == ts for each in self.messages[channel])
            message = next(each for each in self.messages[channel] if each.ts == ts)
            message.text, message.files = DELETED, []
            if not has_replies:
                self.messages[channel].remove(message)
        changed = {
            "type": "message",
            "channel": channel,
            "channel_type": self.channels[channel]["kind"],
            "hidden": True,
        }
        before = {"ts": ts, "user": message.user, "text": ""}
        if has_replies:
            stone = {"subtype": "tombstone", "user": "USLACKBOT", "ts": ts, "thread_ts": ts, "text": message.text}
            return self.event(changed | {"subtype": "message_changed", "message": stone, "previous_message": before})
        deleted = {"subtype": "message_deleted", "deleted_ts": ts, "previous_message": before}
        return self.event(changed | deleted)

    def edits_message(self, channel: str, ts: str, text: str) -> None:
        """Change the text of a person's message."""
        with self.lock:
            message = next(each for each in self.messages[channel] if each.ts == ts)
            message.text, message.edited_ts = text, self._ts()

    def joins(self, user: str, channel: str) -> None:
        self.channels[channel]["members"].append(user)

    def leaves(self, user: str, channel: str) -> None:
        self.channels[channel]["members"].remove(user)

    def event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """Wrap an event as Slack sends it."""
        return {
            "type": "event_callback",
            "team_id": TEAM,
            "event_id": f"Ev{next(self._events):08}",
            "event_time": int(time.time()),
            "authorizations": [{"team_id": TEAM, "user_id": BOT, "is_bot": True}],
            "event": dict(event),
        }

    # What the bot has made of it.

    def replies(self, channel: str, thread: str | None = None) -> list[Posted]:
        """Return the bot's messages in a channel, or in a thread of it."""
        with self.lock:
            found = [each for each in self.messages[channel] if each.user == BOT]
            return [each for each in found if thread is None or each.thread_ts == thread]

    def transcript(self, channel: str) -> str:
        """Write a channel down: who says what, in which thread, with the blocks of the bot's messages."""
        with self.lock:
            return "\n".join(written(each) for each in self.messages[channel]) + "\n"

    def shown(self, channel: str, thread: str) -> str:
        """Write down what a thread shows of the bot now: its messages, its status, and the button to stop it."""
        with self.lock:
            self._seal_old(channel)
            lines = [written(each) for each in self.replies(channel, thread)]
            at, status = self._status_at.get((channel, thread), (0.0, ""))
            if status and self.clock() - at < _STATUS_SECONDS:
                lines.append(f"    (Leadline {status})")
            if (self.sessions[channel, thread] or [""])[-1] == "processing":
                lines.append("    (button: Stop)")
            return "\n".join(lines) + "\n"

    # The Web API.

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.post("/api/{method}")
        @app.get("/api/{method}")
        async def call(method: str, request: Request) -> Response:
            body = _body(request, await request.body())
            if method == "apps.connections.open":
                return self._opened(request, self._fault(method, body))
            if method == "oauth.v2.access":
                return self._exchanged(body)
            if request.headers.get("authorization") != f"Bearer {BOT_TOKEN}":
                return JSONResponse({"ok": False, "error": "invalid_auth"})
            with self.lock:
                fault = self._fault(method, body)
            answer = self._answered(method, body, fault)
            await asyncio.sleep(fault.seconds if fault is not None else 0)
            while fault is not None and fault.until is not None and not fault.until.is_set():
                await asyncio.sleep(0.05)
            return answer

        @app.get("/files-pri/{identifier}/{name:path}")
        async def fetch(identifier: str, request: Request) -> Response:
            return self._fetched(identifier, request)

        @app.websocket("/socket")
        async def socket(websocket: WebSocket) -> None:
            await self._serve(websocket)

        return app

    def push(self, body: Mapping[str, Any]) -> str:
        """Send an event by Socket Mode; returns the id of its envelope, which is among `acknowledged` once it is."""
        envelope = f"envelope-{next(self._events)}"
        self._outgoing.put({"envelope_id": envelope, "type": "events_api", "payload": dict(body)})
        return envelope

    def _described(self, file: RemoteFile) -> dict[str, Any]:
        """What Slack says of a file, in an event and by `files.info`."""
        address = f"{self.url.removesuffix('api/')}files-pri/{file.id}/{quote(file.name, safe='') or 'file'}"
        usual = {
            "id": file.id,
            "name": file.name,
            "title": file.name,
            "mimetype": "application/octet-stream",
            "filetype": "binary",
            "mode": "hosted",
            "is_external": False,
            "user": file.user,
            "size": len(file.content),
            "url_private": address,
            "url_private_download": address,
        }
        return usual | file.facts

    def _fetched(self, identifier: str, request: Request) -> Response:
        """A file's bytes for who may read it; everybody else is sent to sign in."""
        with self.lock:
            self.tokens.append(request.headers.get("authorization", ""))
            fault = self.faults["files"].popleft() if self.faults["files"] else None
            file = self.files.get(identifier)
        if fault is not None:
            return _faulty(fault)
        if file is None or file.deleted:
            return Response("not found", 404)
        if request.headers.get("authorization") != f"Bearer {BOT_TOKEN}":
            return Response("", 302, {"Location": f"{self.url.removesuffix('api/')}?redir=/files-pri"})
        if redirect := file.facts.get("_redirect"):
            return Response("", 302, {"Location": redirect})
        file.fetched += 1
        return Response(file.content, media_type=file.facts.get("mimetype", "application/octet-stream"))

    def _opened(self, request: Request, fault: Fault | None) -> Response:
        if fault is not None:
            return _faulty(fault)
        if request.headers.get("authorization") != f"Bearer {APP_TOKEN}":
            return JSONResponse({"ok": False, "error": "invalid_auth"})
        address = self.url.replace("http://", "ws://").removesuffix("api/")
        return JSONResponse({"ok": True, "url": f"{address}socket"})

    def _exchanged(self, body: dict[str, Any]) -> Response:
        if (body.get("client_id"), body.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return JSONResponse({"ok": False, "error": "bad_client_secret"})
        if body.get("code") != CODE:
            return JSONResponse({"ok": False, "error": "invalid_code"})
        who = {"team": {"id": TEAM, "name": "Harbour"}, "bot_user_id": BOT, "access_token": BOT_TOKEN}
        return JSONResponse({"ok": True, "scope": ",".join(self.scopes), "authed_user": {"id": "U0ANN"}, **who})

    async def _serve(self, websocket: WebSocket) -> None:
        """Send envelopes until the client goes, and note what it acknowledges."""
        await websocket.accept()
        await websocket.send_json({"type": "hello", "num_connections": 1})

        async def receive() -> None:
            while True:
                self.acknowledged.append(str((await websocket.receive_json())["envelope_id"]))

        receiving = asyncio.ensure_future(receive())
        while not receiving.done():
            with suppress(queue.Empty):
                await websocket.send_json(self._outgoing.get_nowait())
            await asyncio.sleep(0.05)
        with suppress(WebSocketDisconnect):
            receiving.result()

    def _fault(self, method: str, body: Mapping[str, Any]) -> Fault | None:
        """Return the next fault of a method, or of a method in one channel: `chat.update C0QUAY`."""
        for name in (method, f"{method} {body.get('channel') or body.get('channel_id')}"):
            if self.faults[name]:
                return self.faults[name].popleft()
        return None

    def _answered(self, method: str, body: dict[str, Any], fault: Fault | None) -> Response:
        with self.lock:
            self.calls[method] += 1
            if method.startswith(("chat.", "assistant.", "agents.", "views.")):
                self.bodies.append((method, body))
            if fault is not None and not fault.done and fault.status != 200:
                return _faulty(fault)
            try:
                if fault is not None and fault.error:
                    raise RefusedError(fault.error)
                handler = getattr(self, "_" + method.replace(".", "_"), None)
                if handler is None:
                    raise RefusedError("unknown_method")
                answer = handler(body)
            except RefusedError as error:
                self.refused.append(f"{method}: {error}")
                return JSONResponse({"ok": False, "error": str(error)})
        return (
            _faulty(fault)
            if fault is not None and fault.status != 200
            else JSONResponse({"ok": True, **answer}, headers={"x-oauth-scopes": ",".join(self.scopes)})
        )

    def _auth_test(self, body: dict[str, Any]) -> dict[str, Any]:
        url = "https://harbour.slack.com/"
        return {"team_id": TEAM, "team": "Harbour", "user_id": BOT, "bot_id": "B0BOT", "url": url}

    def _users_info(self, body: dict[str, Any]) -> dict[str, Any]:
        if body["user"] not in self.people:
            raise RefusedError("user_not_found")
        told = {"id": body["user"], **self.people[body["user"]]}
        if body.get("include_locale") not in ("1", "true", True):
            told.pop("locale", None)
        return {"user": told}

    def _users_list(self, body: dict[str, Any]) -> dict[str, Any]:
        found = [{"id": each, **told} for each, told in self.people.items()]
        at, until = int(body.get("cursor") or 0), int(body.get("cursor") or 0) + int(body.get("limit", 100))
        return {"members": found[at:until], "response_metadata": {"next_cursor": _cursor(until, len(found))}}

    def _files_info(self, body: dict[str, Any]) -> dict[str, Any]:
        if "files:read" not in self.scopes:
            raise RefusedError("missing_scope")
        file = self.files.get(body["file"])
        if file is None:
            raise RefusedError("file_not_found")
        if file.deleted:
            raise RefusedError("file_deleted")
        return {"file": self._described(file)}

    def _conversations_info(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body["channel"])
        kind = self.channels[body["channel"]]["kind"]
        kinds = {"is_channel": kind == "channel", "is_private": kind != "channel", "is_im": kind == "im"}
        return {"channel": {"id": body["channel"], "name": body["channel"].lower(), **kinds}}

    def _users_conversations(self, body: dict[str, Any]) -> dict[str, Any]:
        kinds = {"public_channel": "channel", "private_channel": "group"}
        wanted = {kinds[each] for each in body["types"].split(",")}
        joined = [
            {"id": each, "is_private": found["kind"] == "group"}
            for each, found in self.channels.items()
            if found["kind"] in wanted and {body["user"], BOT} <= set(found["members"])
        ]
        return {"channels": joined, "response_metadata": {"next_cursor": ""}}

    def _usergroups_list(self, body: dict[str, Any]) -> dict[str, Any]:
        return {"usergroups": self.user_groups}

    def _conversations_members(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body["channel"])
        members, at = self.channels[body["channel"]]["members"], int(body.get("cursor") or 0)
        until = at + int(body.get("limit", 100))
        return {"members": members[at:until], "response_metadata": {"next_cursor": _cursor(until, len(members))}}

    def _conversations_open(self, body: dict[str, Any]) -> dict[str, Any]:
        channel = f"D{body['users'][1:]}"
        self.channels.setdefault(channel, {"kind": "im", "members": [body["users"], BOT]})
        return {"channel": {"id": channel}}

    def _conversations_replies(self, body: dict[str, Any]) -> dict[str, Any]:
        self._joined(body["channel"])
        in_thread = [each for each in self.messages[body["channel"]] if body["ts"] in (each.ts, each.thread_ts)]
        return self._history(in_thread, body)

    def _conversations_history(self, body: dict[str, Any]) -> dict[str, Any]:
        self._joined(body["channel"])
        return self._history([each for each in self.messages[body["channel"]] if each.thread_ts is None], body)

    def _history(self, found: list[Posted], body: dict[str, Any]) -> dict[str, Any]:
        """A page of messages; those with replies say so."""
        oldest, at = float(body.get("oldest") or 0), int(body.get("cursor") or 0)
        until = at + int(body.get("limit", 15))
        newer = [each for each in found if float(each.ts) > oldest]
        shown = [self._told(each) for each in newer[at:until]]
        return {"messages": shown, "response_metadata": {"next_cursor": _cursor(until, len(newer))}}

    def _told(self, message: Posted) -> dict[str, Any]:
        """What Slack says of a message."""
        told: dict[str, Any] = {"ts": message.ts, "user": message.user, "text": message.text}
        replies = [each.ts for each in self.messages[message.channel] if each.thread_ts == message.ts]
        if replies:
            told |= {"thread_ts": message.ts, "reply_count": len(replies), "latest_reply": replies[-1]}
        if message.edited_ts:
            told["edited"] = {"user": message.user, "ts": message.edited_ts}
        if message.files:
            told |= {"subtype": "file_share", "files": [{"name": each} for each in message.files]}
        if message.text == DELETED:
            told["subtype"] = "tombstone"
        return told | ({"metadata": message.metadata} if message.metadata else {})

    def _joined(self, channel: str) -> None:
        """Refuse a channel that the bot is not a member of, without telling whether a private one exists."""
        self._known(channel)
        if BOT not in self.channels[channel]["members"]:
            raise RefusedError("not_in_channel" if self.channels[channel]["kind"] == "channel" else "channel_not_found")

    def _assistant_threads_setStatus(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body["channel_id"])
        self.statuses.append((body["channel_id"], body["thread_ts"], body["status"]))
        self._status_at[body["channel_id"], body["thread_ts"]] = self.clock(), body["status"]
        return {}

    def _agents_sessions_setStatus(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body["channel_id"])
        if not body.get("thread_ts") or body["status"] not in _SESSIONS or len(body.get("title", "")) > 200:
            raise RefusedError("invalid_arguments")
        self.sessions[body["channel_id"], body["thread_ts"]].append(body["status"])
        return {"status": body["status"]}

    def _views_publish(self, body: dict[str, Any]) -> dict[str, Any]:
        checked(body["view"]["blocks"])
        self.views[body["user_id"]] = body["view"]
        return {}

    def _views_open(self, body: dict[str, Any]) -> dict[str, Any]:
        checked(body["view"]["blocks"])
        if not body.get("trigger_id"):
            raise RefusedError("invalid_trigger_id")
        self.views["modal"] = body["view"]
        return {}

    def _chat_postMessage(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body["channel"])
        message = Posted(
            body["channel"],
            self._ts(),
            BOT,
            str(body.get("text", "")),
            checked(body.get("blocks") or []),
            body.get("thread_ts"),
            body.get("metadata"),
        )
        self._arrived(message)
        return {"channel": message.channel, "ts": message.ts}

    def _chat_postEphemeral(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body["channel"])
        if body["user"] not in self.channels[body["channel"]]["members"]:
            raise RefusedError("user_not_in_channel")
        self.whispers.append((body["channel"], body["user"], str(body["text"])))
        return {"message_ts": self._ts()}

    def _chat_delete(self, body: dict[str, Any]) -> dict[str, Any]:
        message = self._message(body)
        self.messages[message.channel].remove(message)
        return {}

    def _chat_update(self, body: dict[str, Any]) -> dict[str, Any]:
        message = self._message(body)
        if self._is_streaming(message):
            raise RefusedError("streaming_message_cannot_be_updated")
        message.text, message.blocks = str(body.get("text", "")), checked(body.get("blocks") or [])
        message.metadata = body.get("metadata") or message.metadata
        message.title, message.tasks, message.is_broken = "", {}, False
        message.edits += 1
        return {"channel": message.channel, "ts": message.ts}

    def _chat_startStream(self, body: dict[str, Any]) -> dict[str, Any]:
        self._known(body["channel"])
        if not body.get("thread_ts"):
            raise RefusedError("thread_ts_required")
        if self.channels[body["channel"]]["kind"] != "im" and not body.get("recipient_user_id"):
            raise RefusedError("missing_recipient_user_id")
        message = Posted(body["channel"], self._ts(), BOT, thread_ts=body["thread_ts"])
        add_to_stream(message, body)
        message.streaming_since = self.clock()
        self._arrived(message)
        return {"channel": message.channel, "ts": message.ts}

    def _chat_appendStream(self, body: dict[str, Any]) -> dict[str, Any]:
        message = self._message(body)
        if not self._is_streaming(message):
            raise RefusedError("message_not_in_streaming_state")
        add_to_stream(message, body)
        return {}

    def _chat_stopStream(self, body: dict[str, Any]) -> dict[str, Any]:
        message = self._message(body)
        if not self._is_streaming(message):
            raise RefusedError("message_not_in_streaming_state")
        add_to_stream(message, body)
        self._sealed(message)
        return {}

    def _is_streaming(self, message: Posted) -> bool:
        since = message.streaming_since
        return since is not None and self.clock() - since < self.streams_for

    def _sealed(self, message: Posted) -> None:
        message.streaming_since = None
        message.is_broken = any(task["status"] != "complete" for task in message.tasks.values())

    def _seal_old(self, channel: str) -> None:
        for each in self.messages[channel]:
            if each.streaming_since is not None and not self._is_streaming(each):
                self._sealed(each)

    def _arrived(self, message: Posted) -> None:
        """Put a message of the bot's into its channel, which takes away the status of its thread."""
        self.messages[message.channel].append(message)
        self._status_at.pop((message.channel, message.thread_ts or ""), None)

    def _message(self, body: dict[str, Any]) -> Posted:
        for each in self.messages[body["channel"]]:
            if each.ts == body["ts"] and each.user == BOT:
                return each
        raise RefusedError("message_not_found")

    def _known(self, channel: str) -> None:
        if channel not in self.channels:
            raise RefusedError("channel_not_found")

    def _ts(self) -> str:
        return f"{self.clock():.3f}{next(self._numbers):03}"


def _body(request: Request, raw: bytes) -> dict[str, Any]:
    if request.headers.get("content-type", "").startswith("application/json"):
        found: dict[str, Any] = json.loads(raw or b"{}")
        return found
    return {**dict(request.query_params), **dict(parse_qsl(raw.decode()))}


def _faulty(fault: Fault) -> Response:
    headers = {"Retry-After": f"{fault.retry_after:g}"} if fault.status == 429 else {}
    return JSONResponse({"ok": False, "error": "ratelimited"} if fault.status == 429 else {}, fault.status, headers)


def _cursor(until: int, count: int) -> str:
    """The cursor of the next page, or nothing on the last one."""
    return str(until) if until < count else ""


@contextmanager
def slack_double() -> Iterator[SlackDouble]:
    """A workspace behind a port of this machine; its address is `url`."""
    double = SlackDouble()
    with serving(double.app()) as url:
        double.url = f"{url}/api/"
        yield double
