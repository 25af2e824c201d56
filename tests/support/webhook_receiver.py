"""A real receiver of webhooks, and a sender in a process of its own that may be killed."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI, Request, Response
from standardwebhooks import Webhook as Verifier

from ingest.storage.db.database import open_database
from ingest.storage.webhooks.outbox import Outbox
from ingest.storage.webhooks.records import WebhookSettings
from tests.support.cluster import wait_until
from tests.support.fault_folder import arm_from_environment
from tests.support.serving import serving
from workers.upkeep.webhooks import WebhookSender


@dataclass
class Receiver:
    """What arrived at `url`, in order: headers and bodies. `answer` makes the replies."""

    url: str = ""
    answer: Callable[[Request], Response] = lambda _: Response(status_code=204)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    def verified(self, secret: str) -> list[dict[str, Any]]:
        """The messages, each checked as the specification's own library checks them."""
        return [Verifier(secret).verify(body, headers) for headers, body in self.got]

    def wait_for(self, count: int) -> None:
        wait_until(lambda: len(self.got) >= count, what=f"{count} messages arrive")


@contextmanager
def receiving(path: str = "/hook") -> Iterator[Receiver]:
    """A receiver on a TCP port of this machine."""
    receiver, app = Receiver(), FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def take(request: Request) -> Response:
        receiver.paths.append(request.url.path)
        if request.url.path == path:
            receiver.got.append((dict(request.headers), await request.body()))
        return receiver.answer(request)

    with serving(app) as url:
        receiver.url = f"{url}{path}"
        yield receiver


def loopback(**more: Any) -> WebhookSettings:  # noqa: ANN401 - settings
    """Settings that allow this machine."""
    return WebhookSettings.model_validate({"webhook_networks": "127.0.0.0/8", **more})


if __name__ == "__main__":
    arm_from_environment()
    WebhookSender(Outbox(open_database(os.environ["CATALOG"])), loopback()).send_due_messages()
    sys.exit(0)
