class suppress:  # noqa: N801
    def __init__(self, *kinds):
        self._kinds = kinds

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        return error is not None and isinstance(error, self._kinds)


class nullcontext:  # noqa: N801
    def __init__(self, enter_result=None):
        self._result = enter_result

    def __enter__(self):
        return self._result

    def __exit__(self, *_):
        return False
