"""Where the bot's token goes for a file, and which files are not taken."""

import pytest

from api.languages.catalogue import Texts
from api.slack.errors import FileRefusedError
from api.slack.files.downloads import RemoteFile, is_slack_address, iter_file_blocks, parse_remote_file

ENGLISH = Texts("en")
API = "https://slack.com/api/"
GOOD = {"id": "F1", "name": "a.md", "mode": "hosted", "size": 3, "url_private_download": "https://files.slack.com/f/a"}


@pytest.mark.parametrize(
    ("url", "api", "is_so"),
    [
        ("https://files.slack.com/files-pri/T1-F1/download/a.md", API, True),
        ("https://slack.com/files/a.md", API, True),
        ("https://files.slack-gov.com/files-pri/a.md", "https://slack-gov.com/api/", True),
        ("http://127.0.0.1:81/files-pri/a.md", "http://127.0.0.1:81/api/", True),
        ("http://files.slack.com/files-pri/a.md", API, False),
        ("https://files.slack.com:8443/files-pri/a.md", API, False),
        ("https://files.slack.com.evil.example/a.md", API, False),
        ("https://files.slack.com@evil.example/a.md", API, False),
        ("https://me@files.slack.com/a.md", API, False),
        ("https://evil.example/files.slack.com", API, False),
        ("https://evil.example\\@files.slack.com/a.md", API, False),
        ("//files.slack.com/a.md", API, False),
        ("file:///etc/passwd", API, False),
        ("https://files.slack.com:port/a.md", API, False),
        ("", API, False),
    ],
)
def test_the_token_goes_to_slacks_own_servers_alone(url: str, api: str, *, is_so: bool) -> None:
    assert is_slack_address(url, api) is is_so


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"mode": "tombstone"}, "deleted in Slack"),
        ({"file_access": "file_not_found"}, "deleted in Slack"),
        ({"file_access": "access_denied"}, "may not see this file"),
        ({"mode": "hidden_by_limit"}, "the workspace's plan"),
        ({"mode": "external"}, "only a link"),
        ({"is_external": True}, "only a link"),
        ({"filetype": "canvas"}, "canvases"),
        ({"mode": "list"}, "lists"),
        ({"url_private_download": ""}, "does not offer this file"),
        ({"size": 101}, "larger than the limit of 100 bytes"),
    ],
)
def test_what_slack_hands_over_no_file_for_is_refused_in_words(facts: dict[str, object], reason: str) -> None:
    with pytest.raises(FileRefusedError, match=reason) as refused:
        parse_remote_file({**GOOD, **facts}, ENGLISH, max_bytes=100)
    assert refused.value.hint


def test_a_file_is_what_slack_says_of_it_by_now() -> None:
    assert (
        parse_remote_file({**GOOD, "file_access": "visible", "mimetype": "text/markdown"}, ENGLISH, max_bytes=100).size
        == 3
    )
    assert parse_remote_file({**GOOD, "name": "", "title": "A"}, ENGLISH, max_bytes=100).name == "A"
    assert parse_remote_file({**GOOD, "name": None, "mode": "snippet"}, ENGLISH, max_bytes=100).name == "unnamed"


def test_nothing_is_asked_of_a_server_that_is_not_slacks() -> None:
    with pytest.raises(FileRefusedError, match="not on a server of Slack"):
        next(iter_file_blocks(RemoteFile("a.md", "", 3, "http://127.0.0.1:9/a.md"), "xoxb-secret", API, ENGLISH))
