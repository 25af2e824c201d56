"""Nothing else may own our import names, and the wheel holds what the code reads."""

from importlib import metadata
from pathlib import Path

from api.cli.doctor import foreign_owners

ROOT = Path(__file__).parents[2]


def test_no_other_distribution_owns_our_import_names() -> None:
    assert foreign_owners() == {}


def test_the_distribution_is_private() -> None:
    assert "Private :: Do Not Upload" in metadata.metadata("leadline").get_all("Classifier", [])


def test_the_top_level_of_the_repository_is_as_agreed() -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")}
    assert folders == {"ingest", "retrieval", "rlm", "api", "workers", "deploy", "docs", "tests"}
