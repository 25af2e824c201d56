"""Describes the settings in force, for administrators. Secrets are never part of a description."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from api.settings.edge import EdgeSettings
from api.settings.oidc import OidcSettings
from api.settings.slack import SlackSettings
from ingest.parsing.isolation.settings import ParserSettings
from ingest.sources.settings import SourceSettings
from ingest.storage.blobs.quarantine import UpkeepSettings
from ingest.storage.blobs.store import BlobSettings
from ingest.storage.operations.retention import RetentionSettings
from ingest.storage.webhooks.records import WebhookSettings
from retrieval.encoders.specs import EncoderSettings

SettingValue = bool | int | float | str | None


class SettingGroup(StrEnum):
    """The groups of settings, in the order of `docs/settings.md`, whose headings they are."""

    SERVICE = "The service"
    FILES = "File storage"
    LANGUAGE_MODEL = "The language model"
    CHECKING = "Checking answers"
    SEARCH = "Encoders and rerankers"
    IDENTITY = "Tokens of an identity provider"
    SLACK = "The Slack bot"
    LIMITS = "Limits"
    RETENTION = "Retention, upkeep and webhooks"
    CLUSTER = "A cluster"


class SettingSource(StrEnum):
    """The source of a setting's value."""

    ENVIRONMENT = "environment"
    FILE = "file"  # The variable with the suffix `_FILE` names the file.
    COMMAND = "command"  # An option of the command that started the service.
    DEFAULT = "default"


@dataclass(frozen=True)
class SettingDescription:
    """A setting in force. `value` and `default` are null for secrets, and for settings without a value.

    `is_set` tells whether there is a value, also for secrets.
    """

    variable: str
    group: SettingGroup
    description: str
    source: SettingSource
    is_secret: bool
    is_set: bool
    value: SettingValue
    default: SettingValue


# The settings class that declares a setting determines its group. Settings that the service's own class declares are
# grouped by the beginning of their names; the rest are limits.
_GROUPS_OF_CLASSES: Mapping[type[BaseSettings], SettingGroup] = {
    EdgeSettings: SettingGroup.LIMITS,
    EncoderSettings: SettingGroup.SEARCH,
    RetentionSettings: SettingGroup.RETENTION,
    ParserSettings: SettingGroup.LIMITS,
    UpkeepSettings: SettingGroup.RETENTION,
    OidcSettings: SettingGroup.IDENTITY,
    SlackSettings: SettingGroup.SLACK,
    WebhookSettings: SettingGroup.RETENTION,
    SourceSettings: SettingGroup.RETENTION,
    BlobSettings: SettingGroup.FILES,
}
_GROUPS_OF_NAMES: Mapping[str, SettingGroup] = {
    **dict.fromkeys(
        ("llm", "router", "subcalls", "model_profiles", "suggestions", "early_answers"), SettingGroup.LANGUAGE_MODEL
    ),
    **dict.fromkeys(("check", "judge", "describe"), SettingGroup.CHECKING),
    **dict.fromkeys(("rerank", "index"), SettingGroup.SEARCH),
    **dict.fromkeys(
        (
            *("home", "models", "host", "port", "leave_seconds", "drain_seconds", "public_url", "mcp_", "session_"),
            *("share_days", "idempotency_hours", "log_format", "metrics_"),
        ),
        SettingGroup.SERVICE,
    ),
}


def describe_settings(settings: Iterable[BaseSettings], environment: Mapping[str, str]) -> list[SettingDescription]:
    """Describe all settings of a process, sorted by group. `environment` is the process's environment.

    If several classes declare a setting, only the first is described.
    """
    found: dict[str, SettingDescription] = {}
    for each in settings:
        for description in _describe_class(each, environment):
            found.setdefault(description.variable, description)
    order = list(SettingGroup)
    return sorted(found.values(), key=lambda each: order.index(each.group))


def _describe_class(settings: BaseSettings, environment: Mapping[str, str]) -> Iterator[SettingDescription]:
    kind = type(settings)
    for name, field in kind.model_fields.items():
        value = getattr(settings, name)
        is_secret = SecretStr in (field.annotation, *get_args(field.annotation))
        variable = f"{kind.model_config.get('env_prefix', '')}{name}".upper()
        yield SettingDescription(
            variable=variable,
            group=_find_group(kind, name),
            description=(field.description or "").strip(),
            source=_find_source(settings, name, variable, environment),
            is_secret=is_secret,
            is_set=value is not None and value != "",
            # guard: settings-without-secrets
            value=None if is_secret else _convert_to_shown(value),
            default=None if is_secret else _convert_to_shown(_get_default(field)),
        )


def _find_group(kind: type[BaseSettings], name: str) -> SettingGroup:
    for base, group in _GROUPS_OF_CLASSES.items():
        if issubclass(kind, base) and name in base.model_fields:
            return group
    if not issubclass(kind, EdgeSettings):  # Only the API's own class has the limits of its edge.
        return SettingGroup.CLUSTER
    return next((group for prefix, group in _GROUPS_OF_NAMES.items() if name.startswith(prefix)), SettingGroup.LIMITS)


def _find_source(settings: BaseSettings, name: str, variable: str, environment: Mapping[str, str]) -> SettingSource:
    if name not in settings.model_fields_set:
        return SettingSource.DEFAULT
    if environment.get(f"{variable}_FILE"):
        return SettingSource.FILE
    return SettingSource.ENVIRONMENT if environment.get(variable) else SettingSource.COMMAND


def _get_default(field: FieldInfo) -> object:
    return None if field.is_required() else field.get_default(call_default_factory=True, validated_data={})


def _convert_to_shown(value: object) -> SettingValue:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Path):
        return _shorten_path(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {' '.join(map(str, members))}" for key, members in value.items())
    # A URL with a user's name may have a password.
    text = str(value)
    return _hide_user(text) if "://" in text and "@" in text else text


def _shorten_path(path: Path) -> str:
    """Return a path with `~` for the home folder of the service's user, as the documentation writes it."""
    home = Path("~").expanduser()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def _hide_user(text: str) -> str:
    """Replace what stands between `://` and `@` in each URL of a text."""
    return re.sub(r"://[^/\s@]*@", "://…@", text)
