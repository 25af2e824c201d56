"""Response models for the settings in force."""

from typing import Literal

from api.http.wire import Wire


class SettingOut(Wire):
    """A setting of the service, which can only be changed by restarting it with another value.

    `source` says where the value comes from: a variable of the environment, a file named by the variable with the
    suffix `_FILE`, an option of the command that started the service, or the default. `value` and `default` are null
    for secrets; `is_set` says whether there is a value.
    """

    variable: str
    group: str
    description: str
    source: Literal["environment", "file", "command", "default"]
    is_secret: bool
    is_set: bool
    value: bool | int | float | str | None
    default: bool | int | float | str | None


class SettingList(Wire):
    """The settings in force, sorted by group.

    `withheld` is true if the installation has several tenants and you are not one of its operators: settings concern
    all tenants, so values are then null, and sources are `default`.
    """

    settings: list[SettingOut]
    withheld: bool
