"""A client that a generator makes of the OpenAPI document, against a running service."""

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import pytest

from api.openai.described import ChatCompletionOut, ResponseOut
from tests.support.harbour import KEEPER, Harbour, Model, harbour

pytestmark = pytest.mark.needs_program("openapi-python-client")

# Media types that the generator does not know: it treats them as files, as `docs/python.md` says.
_CONFIG = """
post_hooks: []
content_type_overrides:
  application/offset+octet-stream: application/octet-stream
  application/x-ndjson: application/octet-stream
  image/png: application/octet-stream
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(tmp_path_factory.mktemp("home"), Model()) as service:
        yield service


@pytest.fixture(scope="module")
def generated(service: Harbour, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the package that the generator wrote, without a word of what it could not do."""
    folder = tmp_path_factory.mktemp("generated")
    (folder / "config.yaml").write_text(_CONFIG)
    (folder / "openapi.json").write_bytes(service.client.http.get("/openapi.json").content)
    command = ["openapi-python-client", "generate", "--path", "openapi.json", "--config", "config.yaml"]
    made = subprocess.run(
        [*command, "--meta", "none", "--output-path", "generated_leadline", "--fail-on-warning"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        yield "generated_leadline"
        for name in [name for name in sys.modules if name.startswith("generated_leadline")]:
            del sys.modules[name]


@pytest.fixture
def call(service: Harbour, generated: str) -> Iterator[Callable[..., Any]]:
    """Call an operation by its name, and return the parsed response of the status that the service gave."""
    kind = importlib.import_module(f"{generated}.client").AuthenticatedClient

    def call_operation(tag: str, name: str, **arguments: Any) -> Any:  # noqa: ANN401 -
        operation = importlib.import_module(f"{generated}.api.{tag}.{name}")
        return operation.sync_detailed(client=client, **arguments)

    with kind(base_url=service.url, token=service.key) as client:
        yield call_operation


def test_documents_are_uploaded_in_a_form_and_replaced(call: Callable[..., Any], generated: str) -> None:
    models, types = importlib.import_module(f"{generated}.models"), importlib.import_module(f"{generated}.types")

    def build_file(text: bytes) -> Any:  # noqa: ANN401 - generated
        return types.File(payload=BytesIO(text), file_name="pier.txt", mime_type="text/plain")

    body = models.UploadDocumentsFilesBody(files=[build_file(b"The pier has 40 posts.")])
    uploaded = call("documents", "upload_documents", body=body, collection="default", metadata='{"year": 1871}')
    assert uploaded.status_code == 202
    shown = call("documents", "get_document", document_id=uploaded.parsed.id)
    assert (shown.parsed.name, shown.parsed.metadata.to_dict()) == ("pier.txt", {"year": 1871})
    replaced = call(
        "documents",
        "replace_document",
        document_id=uploaded.parsed.id,
        body=build_file(b"The pier has 41 posts."),
        if_match=shown.headers["etag"],
    )
    assert replaced.status_code == 202
    assert replaced.parsed.id == uploaded.parsed.id


def test_an_error_is_a_typed_problem(call: Callable[..., Any], generated: str) -> None:
    missing = call("documents", "get_document", document_id="doc_missing")
    assert type(missing.parsed).__name__ == "ProblemOut"
    assert (missing.status_code, missing.parsed.code) == (404, "document_not_found")


def test_chat_and_responses_are_typed(call: Callable[..., Any], generated: str) -> None:
    models = importlib.import_module(f"{generated}.models")
    chat = models.ChatIn.from_dict({"model": "leadline", "messages": [{"role": "user", "content": KEEPER}]})
    completion = call("openai", "create_chat_completion", body=chat).parsed
    assert completion.choices[0].message.content == "Ada Brandt kept it [1]."
    asked = models.ResponseIn.from_dict({"model": "leadline", "input": KEEPER})
    response = call("openai", "create_response", body=asked).parsed
    assert response.status.value == "completed"
    assert call("openai", "get_response", response_id=response.id).parsed.id == response.id


def test_replies_have_the_members_that_are_described(service: Harbour) -> None:
    chat = {"model": "leadline", "messages": [{"role": "user", "content": KEEPER}]}
    ChatCompletionOut.model_validate_json(service.client.http.post("/v1/chat/completions", json=chat).content)
    finished = service.client.http.post("/v1/responses", json={"model": "leadline", "input": KEEPER})
    queued = service.client.http.post("/v1/responses", json={"model": "leadline", "input": KEEPER, "background": True})
    for sent in (finished, queued, service.client.http.get(f"/v1/responses/{finished.json()['id']}")):
        ResponseOut.model_validate_json(sent.content)
