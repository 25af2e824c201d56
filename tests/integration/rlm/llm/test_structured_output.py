"""Schemas that refer to a server, which is never asked."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from rlm.errors import LanguageModelRefusedError
from rlm.llm.port import SubCall
from rlm.llm.structured_output import extract_reply


@pytest.mark.filterwarnings("ignore:Automatically retrieving remote references")
def test_a_schema_never_makes_us_fetch_anything() -> None:
    asked: list[str] = []

    class Anyone(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            return None

    with ThreadingHTTPServer(("127.0.0.1", 0), Anyone) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        far = {"type": "object", "properties": {"n": {"$ref": f"http://127.0.0.1:{server.server_port}/secret.json"}}}
        with pytest.raises(LanguageModelRefusedError, match="refers to"):
            extract_reply('{"n": 1}', '{"n": 1}', "stop", SubCall("", "", 10, far))
        server.shutdown()
    assert asked == []
