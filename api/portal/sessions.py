"""Begins a session for whoever was admitted, by a key, a link or the identity provider."""

from api.admission.services import Services
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Actor, ActorKind, identify


def begin_session(served: Services, caller: Principal) -> str:
    """Return the secret of a new session, which lasts as the settings say."""
    identify(Actor(ActorKind.CALLER, caller.key_id, caller.user))
    settings = served.settings
    return served.accounts.sessions.begin(
        caller, lifetime_seconds=settings.session_hours * 3600, idle_seconds=settings.session_idle_hours * 3600
    )
