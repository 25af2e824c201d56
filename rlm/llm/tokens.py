"""How many tokens a text has, estimated without a tokenizer: never a cheap guess, rather too many."""

import re

_LETTERS_PER_TOKEN = 3.5
# Base64, hashes and sequences of genes hold no words for a tokenizer to know.
_RUN = re.compile(rb"[A-Za-z0-9+/_-]{24,}")
_LETTERS_PER_TOKEN_OF_A_RUN = 1.4
_LETTERS = bytes(byte for byte in range(128) if chr(byte).isalpha())
_WORDY = _LETTERS + b" "


def estimated_tokens(text: str) -> int:
    """A careful guess: 3.5 English letters or spaces a token, 1.4 in long runs without a space, 1 of anything else.

    Tokenizers of this family spell numbers digit by digit, and other scripts in up to a token a character. Against that
    of Qwen2.5: 1.4 times too many for books, 1.6 for code, 1.1 for JSON, 1.0 for German, 1.3 for Chinese.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    wordy = _count(encoded, _WORDY)
    in_runs = sum(_count(run, _LETTERS) for run in _RUN.findall(encoded))
    tokens = (wordy - in_runs) / _LETTERS_PER_TOKEN + in_runs / _LETTERS_PER_TOKEN_OF_A_RUN
    return int(tokens) + len(text) - wordy


def _count(text: bytes, characters: bytes) -> int:
    return len(text) - len(text.translate(None, characters))
