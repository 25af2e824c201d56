"""Finding again, in what a model is shown, the texts that code was given."""

from collections.abc import Iterator

from rlm.corpus.handles import Handle

# The latest texts that code was given are kept, so many characters of them.
_KEPT_CHARS = 8_000_000
# A text is found by samples of it, so long and so far apart; what it shares with the shown text reaches beyond them. Of
# texts with the same sample, the latest few are compared.
_SAMPLE_CHARS, _STEP_CHARS, _ALIKE = 32, 128, 8
# After so much text that has no sample, every so many samples' distance is skipped: a long text is still met.
_STRANGE_CHARS, _SKIPPED_CHARS = 4_096, 1_024
# Shorter texts are looked for whole; still shorter ones would be found everywhere.
_KEPT_SHORT, _SHORTEST_CHARS = 2_000, 8


class GivenTexts:
    """The latest texts that code was given, to be found in what models are shown."""

    def __init__(self) -> None:
        self._short: dict[str, Handle] = {}
        self._samples: dict[str, list[tuple[int, int]]] = {}
        self._texts: dict[int, tuple[Handle, str]] = {}
        self._characters = self._count = 0

    def keep(self, handle: Handle, text: str) -> None:
        """Keep a text to be found later; the oldest are forgotten."""
        flat = _flat(text)
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
            alike = self._samples.setdefault(flat[at : at + _SAMPLE_CHARS], [])
            alike.append((self._count, at))
            del alike[:-_ALIKE]
        while self._characters > _KEPT_CHARS and len(self._texts) > 1:
            self._forget(next(iter(self._texts)))

    def found_in(self, shown: str) -> Iterator[Handle]:
        """The spans of which the text stands in `shown`, as it is or as Python writes it."""
        flat = _flat(shown.replace("\\n", " ").replace("\\'", "'").replace('\\"', '"'))
        yield from (handle for text, handle in self._short.items() if text in flat)
        at = reached = strange = 0
        while at + _SAMPLE_CHARS <= len(flat) and self._samples:
            places = self._samples.get(flat[at : at + _SAMPLE_CHARS])
            if not places:
                strange += 1
                at += 1 if strange < _STRANGE_CHARS or strange % _STEP_CHARS else _SKIPPED_CHARS
                continue
            start, length, handle = max(
                (self._shared(flat, reached, at, *place) for place in places), key=lambda each: each[1]
            )
            yield handle
            at = reached = start + length
            strange = 0

    def _shared(self, flat: str, reached: int, at: int, number: int, place: int) -> tuple[int, int, Handle]:
        """Where what `flat` shares with a kept text around a sample begins, how long it is, and its span."""
        handle, text = self._texts[number]
        most = _STEP_CHARS + _SKIPPED_CHARS
        before = _shared_before(flat[max(reached, at - most) : at], text[max(0, place - most) : place])
        after = _shared_after(flat, at, text, place)
        return at - before, before + after, handle[place - before : place + after]

    def _forget(self, number: int) -> None:
        _, text = self._texts.pop(number)
        self._characters -= len(text)
        for at in _sampled(text):
            sample = text[at : at + _SAMPLE_CHARS]
            left = [each for each in self._samples.pop(sample, ()) if each[0] != number]
            if left:
                self._samples[sample] = left


def _flat(text: str) -> str:
    """The text as it is compared: of the same length, without line ends."""
    return text.replace("\n", " ").replace("\t", " ")


def _sampled(text: str) -> Iterator[int]:
    """Where samples begin: evenly, and one that ends with the text."""
    last = len(text) - _SAMPLE_CHARS
    yield from range(0, last, _STEP_CHARS)
    yield last


def _shared_after(first: str, at: int, other: str, place: int) -> int:
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
    """How many characters two texts have in common at their ends."""
    most = min(len(first), len(other))
    return next((n for n in range(most) if first[-n - 1] != other[-n - 1]), most)
