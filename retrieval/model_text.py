"""Neutralize the control tokens of chat templates in text for prompts, while keeping the text readable.

Chat templates mark roles, thoughts and tool calls with tokens that are written as ordinary text. If a text contains
such a token, its first bracket is replaced with the full-width form of that bracket. People and models can still read
the token, but no tokenizer recognizes it. Compatibility folding makes both forms equal, so a quotation of the changed
text is still found in the original. Invisible characters are removed.

Templates that use plain words ("USER:", "### Response:") have no distinguishable tokens, so their markers stay
unchanged.
"""

import regex

from ingest.storage.texts.normalize import remove_invisible_characters

# Maximum length of a token's name, for tokens that are recognized only by their format.
_NAME_LENGTH = "{1,80}"
# Patterns of the names of tokens in angle brackets, which may have a slash, a namespace or attributes.
_NAMES = (
    # Tokens for starts and ends of texts and turns, and reserved tokens.
    "s|(?:bos|eos|eop|sop|eod|eot|eom|bom|sos|pad|unk|mask|cls|sep)(?:_token)?|mask:\\d+",
    "(?:unused|reserved|extra_id|special|tokens_unused|unused_token|placeholder|control)_?\\d+",
    "(?:start|end|begin|beginning)_of_\\w+|(?:start|end)_(?:header_id|token)|image_soft_token",
    # Tokens for roles.
    "system|user|assistant|human|developer|ipython|sys",
    # Tokens for thoughts.
    "think|thinking|thoughts?|reasoning|reflection|scratch_?pad|answer|final_answer|inner_monologue",
    # Tokens for tools.
    "tools?|tool_\\w+|tool(?:call|response|result)s?|available_tools|functions?|function_\\w+|invoke|parameters?",
    "arg_key|arg_value|observation|code_interpreter",
    # Tokens of code models, and placeholders for images and audio.
    "fim_\\w+|fim-\\w+|file_sep|repo_?name|gh_stars|filename|empty_output",
    "(?:jupyter|issue|commit|pr)_(?:start|text|code|output|closed|comment|before|msg|after|\\w+_id)",
    "(?:image|audio|video|img)(?:_\\w+)?",
)
_TEMPLATE_TOKENS = regex.compile(
    rf"<(?=/?\|[^\s<>＜＞]{_NAME_LENGTH}>)"  # <|im_start|>, <|turn>
    r"|<(?=/?｜)"  # <｜User｜>
    rf"|<(?=[^\s<>|＜＞]{_NAME_LENGTH}\|>)"  # <turn|>
    rf"|<(?=\[[^\s\[\]<>＜＞［］]{_NAME_LENGTH}\]>)"  # <[end▁of▁sentence]>
    rf"|<(?=/?(?:[\w.-]{_NAME_LENGTH}:)?(?:{'|'.join(_NAMES)})[\s=>/])"
    r"|<(?=/?SYS>)|<(?=</?SYS>>)"
    r"|\[(?=/?INST\])"
    rf"|\[(?=\|[^\s\[\]［］]{_NAME_LENGTH}\|\])"  # [|assistant|]
    r"|\[(?=(?-i:/?(?:SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_\w+|ARGS|CALL_ID|THINK|IMG\w*|PREFIX|MIDDLE|SUFFIX|AUDIO"
    r"|BEGIN_AUDIO|TRANSCRIBE|MODEL_SETTINGS|STREAMING_\w+|control_\d+|[gs]?MASK|CLS|SEP|PAD|UNK|BOS|EOS|EO[TDM]"
    r"|@BOS@|start_header_id|end_header_id|extra_id_\d+|UNUSED_TOKEN_\d+|SPECIAL_\d+))\])"
    r"|\[(?=[a-z]~\[)|\](?=~!?[a-z][\[\]])"  # [e~[, ]~b], ]~!b[
    r"|>(?=>[A-Z_]{2,20}<<)",
    regex.IGNORECASE,
)
_FULL_WIDTH = {"<": "＜", ">": "＞", "[": "［", "]": "］"}


def neutralize_tokens(text: str) -> str:
    """Remove invisible characters, and neutralize the tokens of chat templates.

    Every text in a prompt passes through this function. It is idempotent: it removes no visible characters, so no new
    token can form.
    """
    # guard: prompts-without-hidden-characters
    left: str = _TEMPLATE_TOKENS.sub(lambda match: _FULL_WIDTH[match[0]], remove_invisible_characters(text))
    return left
