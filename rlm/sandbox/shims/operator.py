def itemgetter(*keys):
    if len(keys) == 1:
        return lambda thing: thing[keys[0]]
    return lambda thing: tuple([thing[key] for key in keys])


def _get_path(thing, path):
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def attrgetter(*names):
    if len(names) == 1:
        return lambda thing: _get_path(thing, names[0])
    return lambda thing: tuple([_get_path(thing, name) for name in names])


def add(a, b):
    return a + b


def sub(a, b):
    return a - b


def mul(a, b):
    return a * b


def truediv(a, b):
    return a / b


def floordiv(a, b):
    return a // b


def mod(a, b):
    return a % b


def neg(a):
    return -a


def eq(a, b):
    return a == b


def ne(a, b):
    return a != b


def lt(a, b):
    return a < b


def le(a, b):
    return a <= b


def gt(a, b):
    return a > b


def ge(a, b):
    return a >= b


def and_(a, b):
    return a & b


def or_(a, b):
    return a | b


def xor(a, b):
    return a ^ b


def not_(a):
    return not a


def contains(a, b):
    return b in a


def getitem(a, b):
    return a[b]


def concat(a, b):
    return a + b
