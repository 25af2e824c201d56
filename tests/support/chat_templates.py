"""Tokens by which chat templates mark roles, thoughts and tools, by model family; and those of a GGUF file."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

TOKENS: Mapping[str, Sequence[str]] = {
    "ChatML, Qwen, Yi": (
        *("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_sep|>", "<|vision_start|>", "<|image_pad|>"),
        *("<|object_ref_start|>", "<|fim_prefix|>", "<|repo_name|>", "<|file_sep|>", "<tool_call>", "</tool_call>"),
        *("<tool_response>", "</tool_response>", "<think>", "</think>", "<tools>", "</tools>", "<function=run>"),
        *("<parameter=path>", "</function>", "</parameter>"),
    ),
    "Llama 2": ("[INST]", "[/INST]", "<<SYS>>", "<</SYS>>", "<s>", "</s>", "<unk>"),
    "Llama 3 and 4": (
        *(
            "<|begin_of_text|>",
            "<|end_of_text|>",
            "<|start_header_id|>",
            "<|end_header_id|>",
            "<|eot_id|>",
            "<|eom_id|>",
        ),
        *("<|python_tag|>", "<|finetune_right_pad_id|>", "<|reserved_special_token_7|>", "<|header_start|>"),
        *("<|header_end|>", "<|eot|>", "<|step|>", "<|image_start|>", "<|patch|>", "<function=f>"),
    ),
    "gpt-oss": (
        *("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"),
        *("<|startoftext|>", "<|reserved_200013|>"),
    ),
    "Phi": ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|tool|>", "<|/tool|>", "<|placeholder1|>"),
    "GLM": (
        *("[gMASK]", "[sMASK]", "[MASK]", "<sop>", "<eop>", "<|observation|>", "<|begin_of_image|>", "<|code_prefix|>"),
        *("<arg_key>", "</arg_key>", "<arg_value>", "<|begin_of_box|>"),
    ),
    "DeepSeek": (
        *(
            "<｜begin▁of▁sentence｜>",
            "<｜end▁of▁sentence｜>",
            "<｜User｜>",
            "<｜Assistant｜>",
            "<｜tool▁calls▁begin｜>",
        ),
        *("<｜tool▁outputs▁begin｜>", "<｜fim▁hole｜>", '<｜DSML｜invoke name="f">', "</｜DSML｜invoke>", "<|EOT|>"),
    ),
    "Mistral": (
        *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[ARGS]"),
        *("[TOOL_CONTENT]", "[CALL_ID]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]", "[IMG]"),
        *("[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[AUDIO]", "[BEGIN_AUDIO]", "[TRANSCRIBE]"),
        *("[MODEL_SETTINGS]", "[control_8]", "<pad>"),
    ),
    "Gemma": (
        *("<bos>", "<eos>", "<mask>", "<unused99>", "<start_of_turn>", "<end_of_turn>", "<start_of_image>"),
        *("<image_soft_token>", "[@BOS@]", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool>"),
        *("<tool|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", '<|"|>', "<|image|>"),
    ),
    "Granite": (
        "<|start_of_role|>",
        "<|end_of_role|>",
        "<|tool_call|>",
        "<fim_prefix>",
        "<jupyter_code>",
        "<gh_stars>",
    ),
    "Command": (
        *("<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "<BOS_TOKEN>", "<EOS_TOKEN>"),
        *("<EOP_TOKEN>", "<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK_TOKEN>", "<|START_THINKING|>", "<|START_ACTION|>"),
    ),
    "Kimi": (
        *("<|im_user|>", "<|im_system|>", "<|im_middle|>", "<|tool_calls_section_begin|>", "[BOS]", "[EOS]", "[EOT]"),
        *("[UNK]", "[PAD]", "[start_header_id]", "[end_header_id]", "[extra_id_0]", "<|media_begin|>"),
    ),
    "MiniMax": ("]~!b[", "]~b]", "[e~[", "<minimax:tool_call>", "<beginning_of_sentence>", "<end_of_sentence>"),
    "Hunyuan": ("<｜hy_User｜>", "<｜hy_place▁holder▁no▁2｜>", "<|extra_0|>", "<answer>", "</answer>"),
    "InternLM, InternVL": ("<|action_start|>", "<|plugin|>", "[UNUSED_TOKEN_145]", "<IMG_CONTEXT>", "<img>", "</img>"),
    "Baichuan, ERNIE": ("<reserved_106>", "<mask:1>", "<|begin_of_sentence|>"),
    "Seed": ("<seed:bos>", "<seed:think>", "</seed:tool_call>", "<[begin▁of▁sentence]>", "<[PLHD12_never_used]>"),
    "Nemotron": ("<extra_id_0>", "<SPECIAL_10>", "<TOOLCALL>", "<AVAILABLE_TOOLS>", "<TOOL_RESPONSE>"),
    "EXAONE": ("[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]", "[|tool|]", "<thought>"),
    "Falcon": (">>QUESTION<<", ">>ANSWER<<", ">>TITLE<<", ">>SUFFIX<<", ">>MIDDLE<<"),
    "Hermes, Claude, others": (
        *("<scratch_pad>", "<thinking>", "</thinking>", "<reasoning>", "<function_calls>", "<function_results>"),
        *('<invoke name="f">', "<tool_use>", "<tool_code>", "<tool_outputs>", "<system>", "<user>", "<assistant>"),
        *("<image>", "<audio>", "<video>", "<filename>", "<commit_msg>", "<issue_start>"),
    ),
}
_CONTROL, _USER_DEFINED = 3, 4
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9


def special_tokens(gguf: Path) -> list[str]:
    """Return the tokens that the tokenizer in a GGUF file recognises in a text as they are."""
    with gguf.open("rb") as file:
        magic, _, _, count = struct.unpack("<4sIQQ", file.read(24))
        assert magic == b"GGUF"
        members = dict((_text(file), _value(file, _read(file, "I"))) for _ in range(count))
    kinds = members["tokenizer.ggml.token_type"]
    found = zip(members["tokenizer.ggml.tokens"], kinds, strict=True)
    return [token for token, kind in found if kind in (_CONTROL, _USER_DEFINED)]


def _read(file: BinaryIO, kind: str) -> Any:  # noqa: ANN401
    return struct.unpack(f"<{kind}", file.read(struct.calcsize(kind)))[0]


def _text(file: BinaryIO) -> str:
    return file.read(_read(file, "Q")).decode("utf-8", "replace")


def _value(file: BinaryIO, kind: int) -> Any:  # noqa: ANN401
    if kind == _TEXT:
        return _text(file)
    if kind == _ARRAY:
        each, count = _read(file, "I"), _read(file, "Q")
        if each in _NUMBERS:
            size = struct.calcsize(_NUMBERS[each])
            return struct.unpack(f"<{count}{_NUMBERS[each]}", file.read(count * size))
        return [_value(file, each) for _ in range(count)]
    return _read(file, _NUMBERS[kind])
