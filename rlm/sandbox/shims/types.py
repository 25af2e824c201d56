class SimpleNamespace:
    def __init__(self, **named):
        self._names = list(named)
        for name, value in named.items():
            setattr(self, name, value)

    def __repr__(self):
        return "namespace(" + ", ".join([f"{name}={getattr(self, name)!r}" for name in self._names]) + ")"
