"""Opens the quotas and the meter that the settings ask for."""

from collections.abc import Mapping
from contextlib import ExitStack

from sqlalchemy import Engine

from api.language_model import model_is_free
from api.quotas import Meter
from api.request_rates import RequestRates
from api.settings import Settings
from ingest.catalog.quotas import Quotas
from ingest.quotas import Quota, parse_quotas


def quota_defaults(settings: Settings) -> tuple[Mapping[Quota, int], Mapping[Quota, int]]:
    """Return the limits of each tenant, and of each key, where the catalog has no other."""
    return parse_quotas(settings.tenant_quotas), parse_quotas(settings.key_quotas)


def make_quotas(engine: Engine, settings: Settings) -> Quotas:
    """Make the quotas of a catalog."""
    tenants, keys = quota_defaults(settings)
    return Quotas(engine, tenant_defaults=tenants, key_defaults=keys)


def open_meter(settings: Settings, quotas: Quotas, stack: ExitStack, *, redis_url: str | None = None) -> Meter:
    """Open the meter of a process, which is closed with `stack`."""
    meter = Meter(
        quotas,
        RequestRates(redis_url),
        answer_tokens=settings.answer_tokens,
        model_is_free=model_is_free(settings),
    )
    stack.callback(meter.close)
    return meter
