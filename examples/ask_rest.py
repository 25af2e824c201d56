"""Ask a question about the novel over HTTP; any language with an HTTP client can do the same."""

import os
import time
from pathlib import Path

import httpx

NOVEL = Path(__file__).parent / "documents" / "seven-minutes-slow.md"
QUESTION = "How many minutes slow is the harbour clock of St Carrow?"


def main() -> None:
    url = os.environ.get("LEADLINE_URL", "http://127.0.0.1:8000")
    headers = {"Authorization": f"Bearer {os.environ['LEADLINE_API_KEY']}"}
    with httpx.Client(base_url=url, headers=headers, timeout=600) as http:
        document = upload(http, NOVEL)
        reply = http.post("/v1/answers", json={"question": QUESTION, "documents": [document]})
        answer = reply.raise_for_status().json()
    print(answer["text"])
    for cited in answer["citations"]:
        print(f"[{cited['number']}] {cited['title']}, {cited['heading_path'][-1]}: “{cited['quote']}”")


def upload(http: httpx.Client, path: Path) -> str:
    """Upload a file, wait until it can be searched by words and by meaning, and return the document's id."""
    reply = http.post("/v1/documents", params={"name": path.name}, content=path.read_bytes())
    document = reply.raise_for_status().json()
    while document["state"] not in ("ready", "failed", "cancelled"):
        time.sleep(0.5)
        document = http.get(f"/v1/documents/{document['id']}").raise_for_status().json()
    if document["state"] != "ready":
        raise SystemExit(f"{path.name} is {document['state']}: {document['failure']}")
    return str(document["id"])


if __name__ == "__main__":
    main()
