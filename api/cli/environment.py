"""Reads settings from the environment, and says in words what is wrong with them."""

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_settings import BaseSettings

from api.settings import Settings
from ingest.errors import LeadlineError

AnySettings = TypeVar("AnySettings", bound=BaseSettings)


class SettingsError(LeadlineError):
    """An environment variable has a value that cannot be used."""

    code = "settings_invalid"
    default_hint = "Correct it in the environment and start again."


def read_settings(**changes: object) -> Settings:
    """Read settings from the environment, with the given options on top. Raises `SettingsError`."""
    given = {name: value for name, value in changes.items() if value is not None}
    return from_environment(Settings, **given)


def from_environment(kind: type[AnySettings], **given: Any) -> AnySettings:  # noqa: ANN401 - of many types
    """Read settings of a kind. Raises `SettingsError`, which names every variable that is wrong or missing."""
    try:
        return kind(**given)
    except ValidationError as error:
        wrong = "; ".join(f"LEADLINE_{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors())
        raise SettingsError(wrong) from error
