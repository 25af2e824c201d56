# ruff: noqa: F401
from dataclasses import dataclass, field


def _to_plain(value):
    if isinstance(value, (list, tuple, set)):
        return type(value)([_to_plain(each) for each in value])
    if isinstance(value, dict):
        return {key: _to_plain(each) for key, each in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return asdict(value)
    return value


def asdict(instance):
    return {name: _to_plain(getattr(instance, name)) for name in instance.__dataclass_fields__}


def astuple(instance):
    return tuple([_to_plain(getattr(instance, name)) for name in instance.__dataclass_fields__])


def replace(instance, **changes):
    values = {name: getattr(instance, name) for name in instance.__dataclass_fields__}
    values.update(changes)
    return type(instance)(**values)


def fields(instance):
    return list(instance.__dataclass_fields__.values())
