"""What helm asks of a Kubernetes API server before it renders an upgrade: the kinds it knows, and its objects."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, replies: Mapping[str, Any], *args: Any) -> None:  # noqa: ANN401 - the base class's signature
        self._replies = replies
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        return None

    def do_GET(self) -> None:
        found = self._replies.get(self.path.partition("?")[0])
        missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        body = json.dumps(found or missing).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def kubernetes_api(kinds: Sequence[tuple[str, str]], secrets: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Serve discovery of kinds, as (apiVersion, kind), and these Secrets. Yields the address."""
    replies = {**_discovery(kinds), "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"}}
    for secret in secrets:
        where = secret["metadata"]
        replies[f"/api/v1/namespaces/{where['namespace']}/secrets/{where['name']}"] = dict(secret)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, replies)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _discovery(kinds: Sequence[tuple[str, str]]) -> dict[str, Any]:
    groups = sorted({version for version, _ in kinds if "/" in version})
    listed = [
        {"name": each.partition("/")[0], "versions": [{"groupVersion": each, "version": each.partition("/")[2]}]}
        for each in groups
    ]
    replies: dict[str, Any] = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed},
    }
    for version in [*groups, "v1"]:
        resources = [
            {
                "name": f"{kind.lower()}s",
                "singularName": kind.lower(),
                "namespaced": True,
                "kind": kind,
                "verbs": ["get"],
            }
            for kind in sorted({kind for of, kind in kinds if of == version})
        ]
        path = f"/apis/{version}" if "/" in version else f"/api/{version}"
        replies[path] = {"kind": "APIResourceList", "groupVersion": version, "resources": resources}
    return replies
