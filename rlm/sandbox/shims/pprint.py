def _format(value, room, indent):
    flat = repr(value)
    if len(flat) <= room:
        return flat
    inside = indent + 1
    if isinstance(value, dict) and value:
        pairs = sorted(value.items(), key=lambda pair: str(pair[0]))
        lines = [
            f"{key!r}: " + _format(each, room - len(repr(key)) - 4, inside + len(repr(key)) + 2) for key, each in pairs
        ]
        return "{" + (",\n" + " " * inside).join(lines) + "}"
    if isinstance(value, (list, tuple)) and value:
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
        lines = [_format(each, room - 2, inside) for each in value]
        return opening + (",\n" + " " * inside).join(lines) + closing
    return flat


def pformat(value, width=80, **_):
    if isinstance(value, dict):
        value = {key: value[key] for key in sorted(value, key=str)}
    return _format(value, width, 0)


def pprint(value, width=80, **_):
    print(pformat(value, width=width))


pp = pprint
