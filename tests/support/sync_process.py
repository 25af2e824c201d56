"""An embedded service in a process of its own, to be killed, that may read folders and notes what it reads."""

import sys
import threading
from pathlib import Path

from api.build.embedded import open_embedded_services
from api.build.language_model import NoLanguageModel
from api.settings.settings import Settings
from retrieval.encoders.port import HashingEmbedder
from tests.support.fault_folder import arm_from_environment
from tests.support.noted_sources import note_reads


def main(home: str, folders: str, notes: str) -> None:
    arm_from_environment()
    note_reads(Path(notes))
    limits = {"min_free_bytes": 0, "ballast_bytes": 0}
    settings = Settings.model_validate({"home": Path(home), "llm": "none", "source_folders": folders, **limits})
    with open_embedded_services(settings, encoder=HashingEmbedder(), language_model=NoLanguageModel()):
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
