_NAMED = {
    "amp": "&",
    "lt": "<",
    "gt": ">",
    "quot": '"',
    "apos": "'",
    "nbsp": "\xa0",
    "ndash": "–",
    "mdash": "—",
    "hellip": "…",
    "rsquo": "’",
    "lsquo": "‘",
    "ldquo": "“",
    "rdquo": "”",
    "copy": "©",
    "euro": "€",
}


def escape(text, quote=True):
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;").replace("'", "&#x27;") if quote else text


def unescape(text):
    pieces = text.split("&")
    plain = pieces[0]
    for piece in pieces[1:]:
        name, semicolon, rest = piece.partition(";")
        if semicolon and name in _NAMED:
            plain += _NAMED[name] + rest
        elif semicolon and name[:2] in ("#x", "#X") and name[2:]:
            plain += chr(int(name[2:], 16)) + rest
        elif semicolon and name[:1] == "#" and name[1:].isdigit():
            plain += chr(int(name[1:])) + rest
        else:
            plain += "&" + piece
    return plain
