"""Fetches the model files required at startup, with a progress bar."""

from api.cli.progress import show_download_progress
from api.settings.settings import Settings
from retrieval.encoders.specs import is_encoder_description
from retrieval.models.fetch import build_model_sources, fetch_model_files
from retrieval.models.manifest import ModelFile
from retrieval.models.store import ModelStore


def list_required_model_files(settings: Settings, store: ModelStore) -> list[ModelFile]:
    """List the model files that the settings require for the local language model and the built-in encoder."""
    own_encoder = settings.encoder is None or not is_encoder_description(settings.encoder)
    return [file for file in store.files if (settings.llm == "local" if file.name.endswith(".gguf") else own_encoder)]


def fetch_missing_model_files(settings: Settings) -> None:
    """Fetch the missing model files. Does nothing if none are missing.

    Raises `ModelFileError` if a file cannot be fetched.
    """
    store = ModelStore(settings.models)
    missing = set(store.list_missing_files())
    files = [file for file in list_required_model_files(settings, store) if file in missing]
    if files:
        with show_download_progress() as progress:
            fetch_model_files(files, store, build_model_sources(), progress)
