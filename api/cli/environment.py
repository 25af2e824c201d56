"""Reads settings from the environment, and says in words what is wrong with them.

A variable of ours that nothing reads is refused, because it is most often a misspelt one. Each secret may be in a file,
which the variable's name with `_FILE` names.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings

from api.settings.settings import Settings
from ingest.storage.errors import LeadlineError
from workers.settings import ClusterSettings

AnySettings = TypeVar("AnySettings", bound=BaseSettings)

_PREFIX, _FILE = "LEADLINE_", "_FILE"
CLIENT_KEY = "LEADLINE_API_KEY"
# Read elsewhere than in settings: by commands that are clients, and by tests.
_OTHER_VARIABLES = frozenset(
    {
        "LEADLINE_URL",
        CLIENT_KEY,
        CLIENT_KEY + _FILE,
        "LEADLINE_DATA",
        "LEADLINE_REQUIRE_SYSTEM_PACKAGES",
        "LEADLINE_TEST_FAULTS",
        "LEADLINE_TEST_BROWSER_LATENCY_MS",
        "LEADLINE_TEST_QDRANT",
        "LEADLINE_CANARY",
        "LEADLINE_SECRET",
    }
)


class SettingsError(LeadlineError):
    """An environment variable has a value that cannot be used."""

    code = "settings_invalid"
    default_hint = "Correct it in the environment and start again."


def read_settings(**changes: object) -> Settings:
    """Read settings from the environment, with the given options on top. Raises `SettingsError`."""
    given = {name: value for name, value in changes.items() if value is not None}
    return read_environment(Settings, **given)


def read_environment(kind: type[AnySettings], **given: Any) -> AnySettings:  # noqa: ANN401 - of many types
    """Read settings of a kind. Raises `SettingsError`, which names every variable that is wrong, missing or unknown."""
    # guard: unknown-settings
    require_known_variables(os.environ)
    files = {name: read_secret(f"{_PREFIX}{name.upper()}", os.environ) for name in _list_secret_names(kind)}
    try:
        return kind(**{**{name: secret for name, secret in files.items() if secret is not None}, **given})
    except ValidationError as error:
        wrong = "; ".join(f"LEADLINE_{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors())
        raise SettingsError(wrong) from error


def require_known_variables(environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` for variables of ours that nothing reads, with the name that each is nearest to."""
    known = list_known_variables()
    unknown = sorted(name for name in environment if name.upper().startswith(_PREFIX) and name.upper() not in known)
    if not unknown:
        return
    near = {name: difflib.get_close_matches(name.upper(), known, 1) for name in unknown}
    told = [f"{name}, is {near[name][0]} meant?" if near[name] else f"{name}." for name in unknown]
    raise SettingsError(
        f"Nothing reads {' '.join(told)}", hint="Correct or remove it; docs/settings.md lists the settings there are."
    )


def list_known_variables() -> frozenset[str]:
    """Return every variable that some process of ours reads; all of them may be set for each."""
    names: set[str] = set(_OTHER_VARIABLES)
    for kind in (Settings, ClusterSettings):
        names |= {_PREFIX + name.upper() for name in kind.model_fields}
        names |= {_PREFIX + name.upper() + _FILE for name in _list_secret_names(kind)}
    return frozenset(names)


def read_secret(variable: str, environment: Mapping[str, str]) -> str | None:
    """Return a secret from its variable, or from the file that names it; None if neither is set, or the file is empty.

    Raises `SettingsError` if both are set, or the file cannot be read.
    """
    value, file = environment.get(variable), environment.get(variable + _FILE)
    if not file:
        return value or None
    if value:
        raise SettingsError(f"{variable} and {variable}{_FILE} are both set.", hint="Keep one of them.")
    try:
        # guard: empty-secret-file
        return Path(file).read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "It is not UTF-8"
        raise SettingsError(
            f"{variable}{_FILE} names a file that cannot be read: {reason}.",
            hint="See that this process may read it, and that it holds the secret alone.",
        ) from error


def _list_secret_names(kind: type[BaseSettings]) -> list[str]:
    """Return the names of the settings that are secret."""
    return [
        name for name, each in kind.model_fields.items() if SecretStr in (each.annotation, *get_args(each.annotation))
    ]
