ascii_lowercase = "abcdefghijklmnopqrstuvwxyz"
ascii_uppercase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
ascii_letters = ascii_lowercase + ascii_uppercase
digits = "0123456789"
hexdigits = "0123456789abcdefABCDEF"
octdigits = "01234567"
punctuation = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
whitespace = " \t\n\r\x0b\x0c"
printable = digits + ascii_letters + punctuation + whitespace


def capwords(text, sep=None):
    return (sep or " ").join([word.capitalize() for word in text.split(sep)])


class Template:
    def __init__(self, template):
        self.template = template

    def _fill(self, values, strict):
        pieces = self.template.split("$")
        text = pieces[0]
        at = 1
        while at < len(pieces):
            piece = pieces[at]
            if piece == "" and at + 1 < len(pieces):
                text += "$" + pieces[at + 1]
                at += 2
                continue
            braced = piece.startswith("{") and "}" in piece
            end = piece.index("}") if braced else 0
            while not braced and end < len(piece) and (piece[end].isalnum() or piece[end] == "_"):
                end += 1
            name = piece[1:end] if braced else piece[:end]
            rest = piece[end + 1 :] if braced else piece[end:]
            if name in values:
                text += str(values[name]) + rest
            elif strict:
                raise KeyError(name)
            else:
                text += "$" + piece
            at += 1
        return text

    def substitute(self, mapping=None, **named):
        return self._fill({**(mapping or {}), **named}, True)

    def safe_substitute(self, mapping=None, **named):
        return self._fill({**(mapping or {}), **named}, False)
