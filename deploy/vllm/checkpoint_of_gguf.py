"""Convert a Qwen2 GGUF file to a checkpoint that vLLM can serve: `python checkpoint_of_gguf.py FILE.gguf FOLDER`.

vLLM reads safetensors, but Leadline's small model is distributed as GGUF. `--int8` quantizes the linear layers to 8
bits per channel in the compressed-tensors format (W8A8, dynamic activations), which halves the number of bytes that a
CPU reads for each token. Run the script in the vLLM server's environment, which includes the `gguf` package.
"""

import argparse
import json
from pathlib import Path
from typing import Any

_CHECKPOINT_NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_INT8_CONFIG = {
    "quant_method": "compressed-tensors",
    "format": "int-quantized",
    "ignore": ["lm_head"],
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "dynamic": False},
            "input_activations": {
                "num_bits": 8,
                "type": "int",
                "symmetric": True,
                "strategy": "token",
                "dynamic": True,
            },
        }
    },
}


def convert_tensor_name(gguf_name: str) -> str:
    """Convert a tensor's name: `blk.3.attn_q.weight` becomes `model.layers.3.self_attn.q_proj.weight`."""
    parts = gguf_name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{_CHECKPOINT_NAMES[parts[2]]}.{parts[3]}"
    return f"{_CHECKPOINT_NAMES[parts[0]]}.{parts[1]}"


def build_model_config(fields: dict[str, Any], *, tied: bool, vocabulary: int, int8: bool) -> dict[str, Any]:
    """Build the `config.json` from a GGUF file's metadata, without the `qwen2.` prefix of the names in `fields`."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": fields["embedding_length"],
        "intermediate_size": fields["feed_forward_length"],
        "num_hidden_layers": fields["block_count"],
        "num_attention_heads": fields["attention.head_count"],
        "num_key_value_heads": fields["attention.head_count_kv"],
        "max_position_embeddings": fields["context_length"],
        "rms_norm_eps": fields["attention.layer_norm_rms_epsilon"],
        "rope_theta": fields["rope.freq_base"],
        "hidden_act": "silu",
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
        "torch_dtype": "bfloat16",
        **({"quantization_config": _INT8_CONFIG} if int8 else {}),
    }


def convert_checkpoint(source: Path, folder: Path, *, int8: bool) -> None:
    """Convert the GGUF file `source` to a checkpoint in `folder`, with weights, configuration and tokenizer."""
    import torch
    from gguf import GGUFReader, dequantize
    from safetensors.torch import save_file
    from transformers import AutoTokenizer

    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    if architecture != "qwen2":
        raise SystemExit(f"{source} is a {architecture} model, but this program converts only qwen2 models.")
    folder.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Any] = {}
    for tensor in reader.tensors:
        name = convert_tensor_name(tensor.name)
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        if int8 and values.dim() == 2 and ".layers." in name:
            scale = values.abs().amax(dim=1, keepdim=True).clamp(min=1e-8) / 127
            tensors[name] = (values / scale).round().clamp(-127, 127).to(torch.int8)
            tensors[f"{name}_scale"] = scale.to(torch.float32)
        else:
            tensors[name] = values.to(torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    fields = {
        name.removeprefix("qwen2."): field.contents()
        for name, field in reader.fields.items()
        if name.startswith("qwen2.")
    }
    vocabulary = tensors["model.embed_tokens.weight"].shape[0]
    config = build_model_config(fields, tied="lm_head.weight" not in tensors, vocabulary=vocabulary, int8=int8)
    (folder / "config.json").write_text(json.dumps(config, indent=2), "utf-8")
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(folder)
    end = reader.fields["tokenizer.ggml.eos_token_id"].contents()
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": end}), "utf-8")


def main() -> None:
    """Convert the file named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="the GGUF file of a Qwen2 or Qwen2.5 model")
    parser.add_argument("folder", type=Path, help="the folder to write the checkpoint to")
    parser.add_argument("--int8", action="store_true", help="quantize linear layers to 8 bits (W8A8)")
    wanted = parser.parse_args()
    convert_checkpoint(wanted.source, wanted.folder, int8=wanted.int8)


if __name__ == "__main__":
    main()
