"""What an embedding server does to a request: a true answer, or one of the wrong ones that servers are known for."""

import json
from collections.abc import Callable
from typing import Any

from retrieval.encoders.port import Embedder
from tests.support.misbehaving_openai import Behaviour, Request

# A body that would be right, and what becomes of it.
Distort = Callable[[dict[str, Any]], dict[str, Any]]


def embeds(
    encoder: Embedder, *, window_characters: int | None = None, distort: Distort = lambda body: body
) -> Behaviour:
    """Vectors of the encoder, last text first: only `index` says which is whose.

    With a window, a request with a longer text is refused as vLLM refuses it.
    """

    def behave(request: Request) -> None:
        texts = request.body["input"]
        if window_characters is not None and max(map(len, texts)) > window_characters:
            request.refuse(400)
            return
        embedded = encoder.embed_documents(texts)
        dimension = request.body.get("dimensions", encoder.dimension)
        data = [
            {"object": "embedding", "index": index, "embedding": (3 * row[:dimension]).tolist()}
            for index, row in reversed(list(enumerate(embedded.vectors)))
        ]
        usage = {"prompt_tokens": embedded.total_tokens, "total_tokens": embedded.total_tokens}
        answers(request, distort({"object": "list", "model": request.body["model"], "data": data, "usage": usage}))

    return behave


def answers(request: Request, body: object) -> None:
    content = json.dumps(body).encode()
    request.send_response(200)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
