"""An embedded service in a process of its own, on a disk that fills up; its address goes to a file elsewhere."""

import json
import os
import sys
from pathlib import Path

from api.admission.services import DEFAULT_TENANT
from api.build.embedded import open_embedded_services
from api.cli.serving import exit_process, serve_requests
from api.settings.settings import Settings
from ingest.storage.errors import LeadlineError
from retrieval.encoders.port import HashingEmbedder

SETTINGS = {"llm": "none", "port": 0, "min_free_bytes": 96 << 20, "ballast_bytes": 64 << 20}


def main(home: str, address: str, key: str) -> None:
    """Serve `home` until a signal; write the URL and a key to `address`, with a new key unless one is given."""
    known = {name: value for name, value in SETTINGS.items() if name in Settings.model_fields}
    settings = Settings.model_validate({"home": Path(home), **known})
    with open_embedded_services(settings, encoder=HashingEmbedder()) as services:
        used = key or services.keys.issue_key(DEFAULT_TENANT, "a trial")[1]
        serve_requests(services, lambda url: _tell(Path(address), url, used))


def _tell(address: Path, url: str, key: str) -> None:
    draft = address.with_suffix(".draft")
    draft.write_text(json.dumps({"url": url, "key": key}))
    draft.rename(address)


def run(home: str, address: str, key: str, log: str) -> None:
    """Call `main` in a process of its own, whose output goes to the file `log`; end with 1 for an error in words."""
    with Path(log).open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    try:
        main(home, address, key)
    except LeadlineError as error:
        sys.exit(f"Error: {error}")
    exit_process()
