"""Opens the meter that the settings ask for, and reads the defaults of quotas."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TypedDict

from api.admission.meter import Meter
from api.admission.request_rates import RequestRates
from api.build.language_model import model_is_free
from api.settings.settings import Settings
from ingest.storage.quotas.records import Quota, parse_quotas
from ingest.storage.quotas.store import Quotas


class QuotaDefaults(TypedDict):
    """The limits of each tenant, and of each key, where the catalog has no other."""

    tenant_defaults: Mapping[Quota, int]
    key_defaults: Mapping[Quota, int]


def quota_defaults(settings: Settings) -> QuotaDefaults:
    """Read the limits that the settings name."""
    return {
        "tenant_defaults": parse_quotas(settings.tenant_quotas),
        "key_defaults": parse_quotas(settings.key_quotas),
    }


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
