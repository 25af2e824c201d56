"""The encoders that a process can open: by name for people, and by the fingerprint that the catalog keeps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrieval.encoders.port import Embedder
from retrieval.errors import UnknownEncoderError


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that is not open yet; `about` helps a person to choose."""

    name: str
    fingerprint: str
    dimension: int
    open: Callable[[], Embedder]
    about: str = ""


class Encoders:
    """The encoder choices; the first is the default."""

    def __init__(self, choices: Sequence[EncoderChoice]) -> None:
        self.choices = tuple(choices)

    def get_by_name(self, name: str | None) -> EncoderChoice:
        """Return the choice of that name, or the default. Raises `UnknownEncoderError`, which lists the known names."""
        if name is None:
            return self.choices[0]
        for choice in self.choices:
            if choice.name == name.strip():
                return choice
        known = ", ".join(choice.name for choice in self.choices)
        raise UnknownEncoderError(
            f"There is no encoder {name!r}.",
            hint=f"Choose one of: {known}; or describe one: `sentence-transformers MODEL`, or `URL MODEL` of a server.",
        )

    def get_by_fingerprint(self, fingerprint: str) -> EncoderChoice:
        """Return the choice that makes vectors of that fingerprint. Raises `UnknownEncoderError`."""
        for choice in self.choices:
            if choice.fingerprint == fingerprint:
                return choice
        raise UnknownEncoderError(
            f"This installation has no encoder {fingerprint}.",
            hint="Install the release or the settings that the index was built with (LEADLINE_ENCODER, or "
            "LEADLINE_ENCODER_BESIDE for one that is moved to or from), or build a generation with another encoder: "
            f"`leadline index reembed --encoder {self.choices[0].name}`.",
        )

    def get_name(self, fingerprint: str) -> str:
        """Return the encoder's name, or the fingerprint itself if this installation lacks the encoder."""
        return next((c.name for c in self.choices if c.fingerprint == fingerprint), fingerprint)


def wrap_encoder(encoder: Embedder) -> Encoders:
    """Wrap one encoder that is open already."""
    return Encoders([EncoderChoice(encoder.fingerprint, encoder.fingerprint, encoder.dimension, lambda: encoder)])
