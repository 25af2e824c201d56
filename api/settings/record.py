"""Records the settings in the audit log at startup, if they have changed since the last start."""

import hashlib
from typing import Any

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from ingest.storage.audit.records import Action
from ingest.storage.audit.store import Audit, AuditFilter

# Number of digits of a secret's digest in the record. They are enough to detect a change, but too few to find the
# secret by brute force.
_DIGEST_DIGITS = 4


def record_settings(audit: Audit, process_role: str, *settings: BaseSettings) -> None:
    """Record all settings that differ from their defaults, with only the first digits of each secret's digest."""
    shown = {name: value for each in settings for name, value in _collect_changed_values(each).items()}
    subject = f"settings:{process_role}"
    last = audit.list_latest(AuditFilter(action=Action.SETTINGS_CHANGED, object=subject), limit=1)
    if not last or last[0].details["settings"] != shown:
        audit.record_action(Action.SETTINGS_CHANGED, subject, tenant_id=None, settings=shown)


def _collect_changed_values(settings: BaseSettings) -> dict[str, Any]:
    defaults = {
        name: field.get_default(call_default_factory=True) for name, field in type(settings).model_fields.items()
    }
    values = {name: value for name, value in settings if value is not None and value != defaults[name]}
    return {f"LEADLINE_{name}".upper(): _convert_to_loggable(value) for name, value in sorted(values.items())}


def _convert_to_loggable(value: object) -> bool | int | float | str:
    if isinstance(value, SecretStr):
        return _compute_digest(value.get_secret_value())
    if isinstance(value, bool | int | float):
        return value
    text = str(value)
    return _compute_digest(text) if "@" in text else text  # A URL that contains `@` may contain a password.


def _compute_digest(secret: str) -> str:
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()[:_DIGEST_DIGITS]}…"
