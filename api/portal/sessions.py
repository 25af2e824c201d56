"""Starts portal sessions for callers who were authenticated by a key, a sign-in link or the identity provider."""

from api.admission.services import Services
from ingest.storage.accounts.provider_sessions import ProviderTokens
from ingest.storage.accounts.records import Principal
from ingest.storage.audit.records import Actor, ActorKind, set_current_actor


def start_session(services: Services, caller: Principal, tokens: ProviderTokens | None = None) -> str:
    """Start a portal session and return its secret. The settings define the lifetime and the idle timeout.

    `tokens` are those of a sign-in at the identity provider. The profile of a person who signed in there is stored.
    """
    set_current_actor(Actor(ActorKind.CALLER, caller.key_id, caller.user))
    settings = services.settings
    services.accounts.people.record_sign_in(caller, groups_seconds=settings.session_hours * 3600)
    return services.accounts.sessions.start_session(
        caller,
        lifetime_seconds=settings.session_hours * 3600,
        idle_seconds=settings.session_idle_hours * 3600,
        tokens=tokens,
    )
