"""The available encoders, by name (for users) and by fingerprint (as stored in the catalog)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from retrieval.encoders.port import Embedder
from retrieval.errors import UnknownEncoderError


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder that is not open yet. `about` describes it to users."""

    name: str
    fingerprint: str
    dimension: int
    open: Callable[[], Embedder]
    about: str = ""


class Encoders:
    """The available encoders. The first is the default."""

    def __init__(self, choices: Sequence[EncoderChoice]) -> None:
        self.choices = tuple(choices)

    def get_by_name(self, name: str | None) -> EncoderChoice:
        """Return the encoder with this name, or the default encoder for None.

        Raises `UnknownEncoderError`, whose message lists the available names, if the encoder is not found.
        """
        if name is None:
            return self.choices[0]
        for choice in self.choices:
            if choice.name == name.strip():
                return choice
        known = ", ".join(choice.name for choice in self.choices)
        raise UnknownEncoderError(
            f"Encoder {name!r} not found.",
            hint=f"Choose one of: {known}; or describe an encoder as `sentence-transformers MODEL` or `URL MODEL`.",
        )

    def get_by_fingerprint(self, fingerprint: str) -> EncoderChoice:
        """Return the encoder with this fingerprint. Raises `UnknownEncoderError` if it is not found."""
        for choice in self.choices:
            if choice.fingerprint == fingerprint:
                return choice
        raise UnknownEncoderError(
            f"This installation has no encoder {fingerprint}.",
            hint="Use the release and the settings that the index was built with (LEADLINE_ENCODER, or "
            "LEADLINE_ENCODER_BESIDE during a move to another encoder), or build a generation with another encoder: "
            f"`leadline index reembed --encoder {self.choices[0].name}`.",
        )

    def get_encoder_name(self, fingerprint: str) -> str:
        """Return the name of an encoder, or its fingerprint if the encoder is not available."""
        return next((c.name for c in self.choices if c.fingerprint == fingerprint), fingerprint)


def wrap_encoder(encoder: Embedder) -> Encoders:
    """Return a registry with a single encoder, which is already open."""
    return Encoders([EncoderChoice(encoder.fingerprint, encoder.fingerprint, encoder.dimension, lambda: encoder)])
