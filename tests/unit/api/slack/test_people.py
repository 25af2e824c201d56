"""The language of the people in Slack."""

import asyncio
from collections import Counter
from typing import Any, cast

import pytest

from api.slack.errors import SlackError, SlackRefusedError
from api.slack.people import People
from api.slack.web import SlackWeb
from ingest.storage.slack.files import SlackFiles
from ingest.storage.slack.records import Workspace
from ingest.storage.slack.store import SlackStore

WORKSPACE = Workspace("T0", "ann", "Harbour", "U0BOT", "")


class Web:
    """Slack's answers to `users.info`; only who asks for the locale gets it."""

    def __init__(self, **user: object) -> None:
        self.user = user
        self.calls: Counter[str] = Counter()
        self.error: SlackError | None = None

    async def call(self, method: str, **body: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        self.calls[method] += 1
        if self.error is not None:
            raise self.error
        return {
            "user": {name: value for name, value in self.user.items() if name != "locale" or body["include_locale"]}
        }


def people() -> People:
    return People(cast("SlackStore", None), cast("SlackFiles", None))


def language(someone: People, web: Web) -> str:
    return asyncio.run(someone.fetch_texts(cast("SlackWeb", web), WORKSPACE, "U0ANN")).language


@pytest.mark.parametrize(
    ("locale", "expected"), [("de-DE", "de"), ("de-AT", "de"), ("en-GB", "en"), ("fr-FR", "en"), (None, "en")]
)
def test_people_read_the_language_that_they_have_chosen_in_slack(locale: str | None, expected: str) -> None:
    assert language(people(), Web(team_id="T0", locale=locale)) == expected


def test_a_language_is_looked_up_once_and_a_failure_is_not_remembered() -> None:
    someone, web = people(), Web(team_id="T0", locale="de-DE")
    web.error = SlackRefusedError("users.info", "user_not_found")
    assert language(someone, web) == "en"
    web.error = None
    assert [language(someone, web) for _ in range(3)] == ["de"] * 3
    assert web.calls["users.info"] == 2
