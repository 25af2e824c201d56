"""A page's own form, sent by a real browser: fields that were appended after the file apply to it."""

import pytest

from api.admission.services import Services
from api.client import Client
from tests.support.browser import Portal
from tests.support.cluster import wait_until
from tests.support.people import People

pytestmark = [pytest.mark.slow, pytest.mark.needs_program("chromium")]

_SEND = """async ([authorization, fileFirst]) => {
  const form = new FormData(), file = new File(['# Pay\\n\\nThe quokka earns 91,000 pounds.\\n'], 'pay.md')
  if (fileFirst) form.append('file', file)
  form.append('readers', JSON.stringify(['group:hr']))
  form.append('collection', fileFirst ? 'first' : 'last')
  if (!fileFirst) form.append('file', file)
  const headers = { Authorization: authorization }
  const reply = await fetch('/v1/documents', { method: 'POST', body: form, headers })
  return await reply.json()
}"""


def test_form_data_with_the_file_first_closes_the_document_as_with_the_file_last(
    service: tuple[Services, Client], opened: Portal
) -> None:
    services, client = service
    people, page = People(services), opened.page()
    page.goto(f"{opened.url}/sign-in")
    for file_first in (True, False):
        made = page.evaluate(_SEND, [people.of("eve")["Authorization"], file_first])
        assert made["readers"] == ["group:hr"], made
        path = f"/v1/documents/{made['id']}"
        wait_until(
            lambda path=path: client.http.get(path, headers=people.of("eve")).json()["state"] == "ready",  # type: ignore[misc]
            what="it is ready",
        )
    asked = {"query": "quokka earns", "mode": "bm25"}
    found = {
        person: {
            hit["collection"] for hit in client.http.post("/v1/search", json=asked, headers=headers).json()["hits"]
        }
        for person, headers in (("eve", people.of("eve")), ("bob", people.of("bob")))
    }
    assert found == {"eve": {"first", "last"}, "bob": set()}
