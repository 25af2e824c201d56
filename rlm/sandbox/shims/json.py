import json as _json

JSONDecodeError = _json.JSONDecodeError
loads = _json.loads
_PLAIN = (str, int, float, bool)


def _convert(value, default):
    if value is None or isinstance(value, _PLAIN):
        return value
    if isinstance(value, dict):
        return {key: _convert(each, default) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_convert(each, default) for each in value]
    return _convert(default(value), default)


def dumps(value, *, default=None, **options):
    options.pop("check_circular", None)
    options.pop("allow_nan", None)
    if default is not None:
        value = _convert(value, default)
    return _json.dumps(value, **options)
