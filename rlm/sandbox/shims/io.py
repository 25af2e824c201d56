class StringIO:
    def __init__(self, initial_value="", newline="\n"):
        self._text = initial_value
        self._at = 0

    def write(self, text):
        if self._at < len(self._text):
            self._text = self._text[: self._at] + text + self._text[self._at + len(text) :]
        else:
            self._text += text
        self._at += len(text)
        return len(text)

    def getvalue(self):
        return self._text

    def read(self, size=-1):
        end = len(self._text) if size is None or size < 0 else self._at + size
        piece = self._text[self._at : end]
        self._at += len(piece)
        return piece

    def readline(self):
        end = self._text.find("\n", self._at)
        return self.read(-1 if end < 0 else end + 1 - self._at)

    def readlines(self):
        return self.read().splitlines(keepends=True)

    def seek(self, at, whence=0):
        self._at = len(self._text) + at if whence == 2 else at
        return self._at

    def tell(self):
        return self._at

    def close(self):
        pass

    def __iter__(self):
        return iter(self.readlines())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False
