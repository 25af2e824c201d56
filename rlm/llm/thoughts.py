"""Parts a reply from the thoughts that a model writes before it."""

_OPENING, _CLOSING = "<think>", "</think>"


class ThoughtFilter:
    """Takes a reply piece by piece and gives back what is no thought, as soon as that is certain.

    Thoughts stand at the beginning and end with `</think>`. They begin with `<think>`, or the chat template wrote that
    tag and it is missing: a `patient` filter holds everything back until the closing tag or the end, and so reads both.
    `open_ended` says that the model thinks in this way always; with `none` the text is left as it is.
    """

    def __init__(self, *, patient: bool = False, open_ended: bool = False, none: bool = False) -> None:
        self._open_ended = open_ended
        self._patient = patient or open_ended
        self._held = ""
        self._passing = self._begun = none
        self.lone_closing = False

    def pass_through(self) -> None:
        """The server parts the thoughts itself: there are none in the text."""
        self._open_ended = self._patient = False

    def feed(self, piece: str) -> str:
        """The part of the reply that this piece makes certain."""
        if self._passing:
            return self._visible(piece)
        self._held += piece
        head, closed, rest = self._held.partition(_CLOSING)
        begins = self._held.lstrip()
        opened = begins.startswith(_OPENING)
        if closed and (opened or self._patient):
            self.lone_closing = not head.lstrip().startswith(_OPENING)
            return self._release(rest)
        if opened or self._patient or _OPENING.startswith(begins):
            return ""
        return self._release(self._held)

    def end(self, *, cut_off: bool = False) -> str:
        """The rest of the reply. One that was `cut_off` before an open-ended thought was closed has none."""
        held, self._held = self._held, ""
        thinking = held.lstrip().startswith(_OPENING) or (self._open_ended and cut_off)
        return "" if thinking else held

    def _release(self, text: str) -> str:
        self._passing, self._held = True, ""
        return self._visible(text)

    def _visible(self, text: str) -> str:
        """White space between the thoughts and the reply belongs to neither."""
        visible = text if self._begun else text.lstrip()
        self._begun = self._begun or bool(visible)
        return visible
