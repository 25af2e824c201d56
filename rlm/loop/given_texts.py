"""Finding again, in what a model is shown, the texts that code was given."""

from collections.abc import Iterator

from rlm.corpus.handles import Handle

# Texts that code was given are kept, to be found again in what models are shown: so many characters, the latest.
_KEPT_CHARS = 8_000_000
# A text is found by samples of it, so long and so far apart; what it shares with the shown text reaches beyond them.
_SAMPLE_CHARS = 32
_STEP_CHARS = 128
# Shorter texts are looked for whole; shorter ones still are found everywhere.
_KEPT_SHORT, _SHORTEST_CHARS = 2_000, 8
_SHOWN_AS_WRITTEN = str.maketrans({"\n": " ", "\t": " "})


class GivenTexts:
    """The latest texts that code was given, to be found in what models are shown."""

    def __init__(self) -> None:
        self._short: dict[str, Handle] = {}
        self._samples: dict[str, tuple[int, int]] = {}
        self._texts: dict[int, tuple[Handle, str]] = {}
        self._characters = self._count = 0

    def keep(self, handle: Handle, text: str) -> None:
        flat = text.translate(_SHOWN_AS_WRITTEN)
        if len(flat) < _SAMPLE_CHARS:
            if len(flat) >= _SHORTEST_CHARS:
                self._short.pop(flat, None)
                self._short[flat] = handle
            if len(self._short) > _KEPT_SHORT:
                del self._short[next(iter(self._short))]
            return
        self._count += 1
        self._texts[self._count] = handle, flat
        self._characters += len(flat)
        for at in _sampled(flat):
            self._samples[flat[at : at + _SAMPLE_CHARS]] = self._count, at
        while self._characters > _KEPT_CHARS and len(self._texts) > 1:
            self._forget(next(iter(self._texts)))

    def found_in(self, shown: str) -> Iterator[Handle]:
        """The spans of which the text stands in `shown`, as it is or as Python writes it."""
        flat = shown.replace("\\n", " ").replace("\\'", "'").replace('\\"', '"').translate(_SHOWN_AS_WRITTEN)
        for text, handle in self._short.items():
            if text in flat:
                yield handle
        at = reached = 0
        while at + _SAMPLE_CHARS <= len(flat) and self._samples:
            sample = self._samples.get(flat[at : at + _SAMPLE_CHARS])
            if sample is None:
                at += 1
                continue
            handle, text = self._texts[sample[0]]
            before = _shared_before(flat[reached:at], text[: sample[1]])
            after = _shared(flat, at, text, sample[1])
            yield handle[sample[1] - before : sample[1] + after]
            at = reached = at + after

    def _forget(self, number: int) -> None:
        _, text = self._texts.pop(number)
        self._characters -= len(text)
        for at in _sampled(text):
            sample = text[at : at + _SAMPLE_CHARS]
            if self._samples.get(sample, (0, 0))[0] == number:
                del self._samples[sample]


def _sampled(text: str) -> Iterator[int]:
    """Where samples begin: evenly, and one that ends with the text."""
    last = len(text) - _SAMPLE_CHARS
    yield from range(0, last, _STEP_CHARS)
    yield last


def _shared(first: str, at: int, other: str, place: int) -> int:
    """How many characters two texts have in common from there on."""
    most = min(len(first) - at, len(other) - place)
    step, shared = _SAMPLE_CHARS, 0
    while shared < most:
        length = min(step, most - shared)
        if first.startswith(other[place + shared : place + shared + length], at + shared):
            shared += length
            step *= 2
        elif length == 1:
            break
        else:
            step = max(1, length // 2)
    return shared


def _shared_before(first: str, other: str) -> int:
    """How many characters two texts have in common at their ends, as far as samples are apart."""
    most = min(len(first), len(other), _STEP_CHARS)
    return next((n for n in range(most) if first[-n - 1] != other[-n - 1]), most)
