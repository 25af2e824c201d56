"""Options of sources: credentials are separated, and an error never repeats a value."""

import pytest
from pydantic import BaseModel, Field, SecretStr

from api.sources.options import merge_options, parse_options
from api.sources.schemas import list_credentials
from ingest.sources.errors import SourceOptionsError
from ingest.sources.port import Source, SourceContext, SourceKind


class BoxOptions(BaseModel):
    path: str
    depth: int = Field(3, ge=1)
    token: SecretStr = SecretStr("")
    second: SecretStr | None = None


def build_nothing(options: BoxOptions, context: SourceContext) -> Source:
    raise NotImplementedError


BOX = SourceKind("box", BoxOptions, build_nothing)


def test_credentials_are_separated_from_what_may_be_shown() -> None:
    split = parse_options(BOX, {"path": "/a", "token": "xyzzy", "second": "plugh"})
    assert split.shown == {"path": "/a"}
    assert split.credentials == {"token": "xyzzy", "second": "plugh"}
    assert isinstance(split.parsed, BoxOptions)
    assert split.parsed.token.get_secret_value() == "xyzzy"
    assert list_credentials(BoxOptions.model_json_schema()) == ["token", "second"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"token": "xyzzy"}, "path: Field required."),
        ({"path": "/a", "depth": "xyzzy"}, "depth: "),
        ({"path": "/a", "token": {"xyzzy": 1}}, "token: "),
        ({"path": "/a", "colour": "xyzzy"}, "A source of the kind box has no option 'colour'."),
    ],
)
def test_an_invalid_option_is_named_without_its_value(options: dict[str, object], words: str) -> None:
    with pytest.raises(SourceOptionsError) as refused:
        parse_options(BOX, options)
    assert words in refused.value.detail
    assert "xyzzy" not in str(refused.value)


def test_omitted_options_stay_and_null_resets_one() -> None:
    known = {"path": "/a", "depth": 2, "token": "xyzzy"}
    assert merge_options(known, {"path": "/b", "depth": None}) == {"path": "/b", "token": "xyzzy"}
