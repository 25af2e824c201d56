"""Prints warnings and errors, because nobody reads a log."""

DEBUG = 10
INFO = 20
WARNING = 30
ERROR = 40
CRITICAL = 50


class _Logger:
    def __init__(self, name):
        self.name = name

    def _print_message(self, word, message, arguments):
        print(f"{word}:{self.name}:{message % arguments if arguments else message}")

    def debug(self, message, *arguments):
        pass

    def info(self, message, *arguments):
        pass

    def warning(self, message, *arguments):
        self._print_message("WARNING", message, arguments)

    def error(self, message, *arguments, **_):
        self._print_message("ERROR", message, arguments)

    exception = error

    def critical(self, message, *arguments):
        self._print_message("CRITICAL", message, arguments)

    def setLevel(self, level):
        pass


def getLogger(name="root"):
    return _Logger(name)


def basicConfig(**_):
    pass


_root = getLogger("root")
debug = _root.debug
info = _root.info
warning = _root.warning
error = _root.error
