"""Runs calls one after another; `llm_query_batched` makes sub-calls in parallel."""


class Future:
    def __init__(self, function, arguments, named):
        self._error = None
        self._result = None
        try:
            self._result = function(*arguments, **named)
        except Exception as error:
            self._error = error

    def result(self, timeout=None):
        if self._error is not None:
            raise self._error
        return self._result

    def exception(self, timeout=None):
        return self._error

    def done(self):
        return True


class ThreadPoolExecutor:
    def __init__(self, max_workers=None, **_):
        self._max_workers = max_workers

    def submit(self, function, *arguments, **named):
        return Future(function, arguments, named)

    def map(self, function, *iterables, timeout=None):
        return iter([function(*arguments) for arguments in zip(*iterables)])

    def shutdown(self, wait=True):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False


ProcessPoolExecutor = ThreadPoolExecutor


def as_completed(futures, timeout=None):
    return iter(list(futures))
