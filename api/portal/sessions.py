"""Begins a session for whoever was admitted, by a key, a link or the identity provider."""

from api.admission.services import Services
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Actor, ActorKind, set_current_actor


def start_session(served: Services, caller: Principal) -> str:
    """Return the secret of a new session, which lasts as the settings say."""
    set_current_actor(Actor(ActorKind.CALLER, caller.key_id, caller.user))
    settings = served.settings
    return served.accounts.sessions.start(
        caller, lifetime_seconds=settings.session_hours * 3600, idle_seconds=settings.session_idle_hours * 3600
    )
