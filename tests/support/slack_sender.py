"""Sends signed requests to an app, as Slack does."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import httpx

from api.slack.manifest import SHORTCUT

TEAM, SECRET = "T0HARBOUR", "a signing secret"


class Sender:
    """Sends signed requests to an app, as Slack does."""

    def __init__(self, url: str, secret: str = SECRET) -> None:
        self._secret = secret
        self._http = httpx.Client(base_url=url, timeout=120, trust_env=False)

    def event(
        self, body: Mapping[str, Any], *, retry: int = 0, at: float | None = None, seconds: float = 120
    ) -> httpx.Response:
        raw = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        if retry:
            headers |= {"x-slack-retry-num": str(retry), "x-slack-retry-reason": "http_timeout"}
        return self._send(raw, headers, at, seconds)

    def form(self, fields: Mapping[str, str], *, seconds: float = 120) -> httpx.Response:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._send(urlencode(fields).encode(), headers, None, seconds)

    def command(self, user: str, text: str, trigger: str = "1.2.abc") -> httpx.Response:
        """Send `/ask` with a text."""
        fields = {"command": "/ask", "text": text, "user_id": user, "team_id": TEAM, "trigger_id": trigger}
        return self.form({**fields, "channel_id": "C0", "response_url": "https://slack.invalid/"})

    def press(self, user: str, action: str, value: str, channel: str, *, seconds: float = 120) -> httpx.Response:
        """Press a button of a message."""
        payload = {
            "type": "block_actions",
            "team": {"id": TEAM},
            "user": {"id": user},
            "channel": {"id": channel},
            "trigger_id": f"9.{action}.{value}",
            "actions": [{"action_id": action, "block_id": "b", "type": "button", "value": value}],
        }
        return self.form({"payload": json.dumps(payload)}, seconds=seconds)

    def shortcut(self, user: str, event: Mapping[str, Any], trigger: str) -> httpx.Response:
        """Choose the shortcut of the message of an event."""
        message = {key: event["event"][key] for key in ("ts", "text", "user")}
        payload = {"type": "message_action", "callback_id": SHORTCUT, "team": {"id": TEAM}, "user": {"id": user}}
        about = {"channel": {"id": event["event"]["channel"]}, "message": message, "trigger_id": trigger}
        return self.form({"payload": json.dumps({**payload, **about})})

    def choose(self, user: str, action: str, channel: str) -> httpx.Response:
        """Choose a conversation in a menu."""
        chosen = {
            "action_id": action,
            "block_id": "b",
            "type": "conversations_select",
            "selected_conversation": channel,
        }
        payload = {"type": "block_actions", "team": {"id": TEAM}, "user": {"id": user}, "trigger_id": "5.choose"}
        return self.form({"payload": json.dumps({**payload, "actions": [chosen]})})

    def submit(self, user: str, view: Mapping[str, Any], values: Mapping[str, Any]) -> httpx.Response:
        """Send a form with values, by block."""
        state = {"values": {block: {"value": value} for block, value in values.items()}}
        payload = {"type": "view_submission", "team": {"id": TEAM}, "user": {"id": user}}
        return self.form({"payload": json.dumps({**payload, "view": {**view, "state": state}})})

    def close(self) -> None:
        self._http.close()

    def _send(self, raw: bytes, headers: dict[str, str], at: float | None, seconds: float = 120) -> httpx.Response:
        headers = headers | signature(raw, self._secret, at)
        return self._http.post("/slack/events", content=raw, headers=headers, timeout=seconds)


def signature(raw: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    """Return the headers with which Slack signs a body."""
    stamp = str(int(time.time() if at is None else at))
    signed = hmac.new(secret.encode(), f"v0:{stamp}:".encode() + raw, hashlib.sha256).hexdigest()
    return {"x-slack-request-timestamp": stamp, "x-slack-signature": f"v0={signed}"}
