"""How many tokens a text has, estimated without a tokenizer: never a cheap guess, rather too many."""

_LETTERS_PER_TOKEN = 3.5
_WORDY = bytes(byte for byte in range(128) if chr(byte).isalpha() or byte == ord(" "))


def estimated_tokens(text: str) -> int:
    """A careful guess: 3.5 English letters or spaces a token, and one token for any other character.

    Tokenizers of this family spell numbers digit by digit, and other scripts in up to a token a character.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    wordy = len(encoded) - len(encoded.translate(None, _WORDY))
    return int(wordy / _LETTERS_PER_TOKEN) + len(text) - wordy
