"""A bot that is killed where Slack has more than the catalog knows: one reply each. All points: `slack_kills`."""

from collections.abc import Iterator

import pytest

from tests.faults.slack_kills import Killed, killed_services

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    with killed_services(tmp_path_factory.mktemp("slack")) as made:
        yield made


@pytest.mark.parametrize(
    ("point", "streamed"),
    [
        ("slack.sent", False),
        ("slack.asked_what_to_do", False),
        ("slack.decided", False),
        ("slack.streaming", True),
        ("slack.removed", True),
    ],
)
def test_a_question_has_one_reply_after_a_kill(services: Killed, point: str, streamed: bool) -> None:
    (reply,) = services.trial(point, streamed=streamed)
    assert "Ada Brandt kept it" in str(reply.blocks)
