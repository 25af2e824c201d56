"""Reads settings from environment variables, and reports invalid ones.

An unknown `LEADLINE_` variable is an error, because it is usually a typo. Every secret can also be read from a file:
append `_FILE` to the variable's name, and set that variable to the file's path.
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
DATABASE = "LEADLINE_DATABASE_URL"
# Environment variables that only client commands or tests read, so no settings class has a field for these variables.
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
    """An environment variable is invalid, missing or unknown."""

    code = "settings_invalid"
    default_hint = "Correct the environment variable and start again."


def read_settings(**overrides: object) -> Settings:
    """Read the settings from the environment. Keyword arguments that are not None override them.

    Raises `SettingsError` if a variable is invalid, missing or unknown.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    return read_environment(Settings, **given)


def read_environment(settings_class: type[AnySettings], **overrides: Any) -> AnySettings:  # noqa: ANN401 - of many types
    """Read the settings of one class from the environment.

    Raises a `SettingsError` that lists every invalid, missing or unknown variable.
    """
    # guard: unknown-settings
    require_known_variables(os.environ)
    files = {name: read_secret(f"{_PREFIX}{name.upper()}", os.environ) for name in _list_secret_names(settings_class)}
    try:
        return settings_class(**{**{name: secret for name, secret in files.items() if secret is not None}, **overrides})
    except ValidationError as error:
        wrong = "; ".join(f"LEADLINE_{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors())
        raise SettingsError(wrong) from error


def read_cluster_settings() -> ClusterSettings | None:
    """Read the cluster's settings from the environment, or return None if no cluster is configured."""
    return read_environment(ClusterSettings) if read_secret(DATABASE, os.environ) else None


def require_known_variables(environment: Mapping[str, str]) -> None:
    """Raise `SettingsError` if there are unknown `LEADLINE_` variables, suggesting a known name for each."""
    known = list_known_variables()
    unknown = sorted(name for name in environment if name.upper().startswith(_PREFIX) and name.upper() not in known)
    if not unknown:
        return
    near = {name: difflib.get_close_matches(name.upper(), known, 1) for name in unknown}
    suggestions = [f"{name}; did you mean {near[name][0]}?" if near[name] else f"{name}." for name in unknown]
    raise SettingsError(
        f"Unknown setting {' '.join(suggestions)}",
        hint="Correct or unset the variable. docs/settings.md lists all settings.",
    )


def list_known_variables() -> frozenset[str]:
    """Return all variables that any Leadline process reads. Every process accepts all of them."""
    names: set[str] = set(_OTHER_VARIABLES)
    for kind in (Settings, ClusterSettings):
        names |= {_PREFIX + name.upper() for name in kind.model_fields}
        names |= {_PREFIX + name.upper() + _FILE for name in _list_secret_names(kind)}
    return frozenset(names)


def read_secret(variable: str, environment: Mapping[str, str]) -> str | None:
    """Read a secret from the variable, or from the file named by the variable with the suffix `_FILE`.

    Returns None if neither is set or the file is empty. Raises `SettingsError` if both are set or the file cannot be
    read.
    """
    value, file = environment.get(variable), environment.get(variable + _FILE)
    if not file:
        return value or None
    if value:
        raise SettingsError(
            f"{variable} and {variable}{_FILE} are both set.", hint=f"Unset {variable} or {variable}{_FILE}."
        )
    try:
        # guard: empty-secret-file
        return Path(file).read_text("utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SettingsError(
            f"Cannot read the file named by {variable}{_FILE}: {reason}.",
            hint="Make the file readable by this process, with only the secret in it.",
        ) from error


def _list_secret_names(settings_class: type[BaseSettings]) -> list[str]:
    """List the names of the settings that are secrets."""
    return [
        name
        for name, each in settings_class.model_fields.items()
        if SecretStr in (each.annotation, *get_args(each.annotation))
    ]
