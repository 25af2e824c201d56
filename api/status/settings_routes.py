"""`/v1/settings`: the settings in force."""

import os
from dataclasses import replace

from fastapi import APIRouter

from api.admission.access import Admin, ServicesDep
from api.admission.services import Services
from api.settings.describe import SettingDescription, SettingSource, describe_settings
from api.status.settings_schemas import SettingList, SettingOut
from ingest.storage.accounts.records import Principal, Scope

router = APIRouter(prefix="/v1", tags=["settings"])


@router.get("/settings")
def list_settings(caller: Admin, services: ServicesDep) -> SettingList:
    """List the settings in force, with their values, defaults and sources. Secrets are never shown.

    If the installation has several tenants, only operators see values.
    """
    is_withheld = not _can_see_values(services, caller)
    found = describe_settings((services.settings, *services.more_settings), os.environ)
    return SettingList(
        settings=[SettingOut.from_records(_hide_value(each) if is_withheld else each) for each in found],
        withheld=is_withheld,
    )


def _can_see_values(services: Services, caller: Principal) -> bool:
    """Return whether the caller runs the installation: an operator, or the admin of its only tenant."""
    # guard: settings-of-one-tenant
    return Scope.OPERATOR in caller.scopes or len(services.accounts.tenants.list_tenants(limit=2)) == 1


def _hide_value(setting: SettingDescription) -> SettingDescription:
    return replace(setting, value=None, source=SettingSource.DEFAULT, is_set=False)
