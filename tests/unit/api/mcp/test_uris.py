"""The URIs of MCP resources."""

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.http.problems import BadRequestError
from api.mcp.uris import KINDS, DocumentUri, find_kind, parse_uri
from ingest.storage.errors import InputError

_VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)


@given(st.sampled_from(KINDS), st.data())
def test_a_uri_that_was_built_is_parsed_to_its_variables(kind: DocumentUri, data: st.DataObject) -> None:
    variables = {name: data.draw(_VALUES) for name in kind.parsed.variable_names}
    assert parse_uri(kind.build(**variables)) == (kind, variables)
    assert find_kind(kind.template) is kind


@given(st.text(max_size=60).map(lambda text: f"leadline://documents/{text}"))
@example("leadline://documents/%")
@example("leadline://documents/a/pages/%ff")
@example("leadline://documents/a?start=%&start")
def test_any_text_is_parsed_or_refused_as_a_uri(uri: str) -> None:
    try:
        kind, variables = parse_uri(uri)
    except (BadRequestError, InputError):
        return
    assert set(variables) <= set(kind.parsed.variable_names)
    assert all(variables.values())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_variable_with_nul_is_refused(kind: DocumentUri) -> None:
    for name in kind.parsed.variable_names:
        variables = dict.fromkeys(kind.parsed.variable_names, "1") | {name: "a\0b"}
        with pytest.raises(InputError, match="NUL") as error:
            parse_uri(kind.build(**variables))
        assert error.value.at == f"uri.{name}"


def test_the_document_of_a_uri_is_one_segment_of_its_path() -> None:
    kind, variables = parse_uri(f"leadline://documents/{quote('../a/b?c', safe='')}")
    assert (kind.name, variables) == ("document", {"document": "../a/b?c"})
    for uri in ("leadline://documents/a/../b", "leadline://documents//a", "LEADLINE2://documents/a"):
        with pytest.raises(BadRequestError):
            parse_uri(uri)
