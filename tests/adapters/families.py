"""The table of model families: one tiny config each, with random weights large enough for attention to matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

SHAPE: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "initializer_range": 0.4, "bos_token_id": 0, "eos_token_id": 0,
    "pad_token_id": None,
}  # fmt: skip
WINDOW = {"sliding_window": 20}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 128}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "rope_theta": 5e5, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}  # fmt: skip
LONG = {
    "rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 5.0, 8.0],
    "original_max_position_embeddings": 48,
}  # fmt: skip
JAMBA = {
    "mamba_d_state": 4, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
    "num_experts": 2, "use_mamba_kernels": False,
}  # fmt: skip
OWN_MODEL, BY_CLASS = "own model", "this class"
"""Of `Family.vllm`: vLLM has a model of the class, or runs the class itself with its own attention."""
NOT_COMPARED = "is not compared with vLLM's own"


@dataclass(frozen=True)
class Family:
    """A row of the table."""

    name: str
    """As people call it."""
    model_type: str
    settings: dict[str, Any] = field(default_factory=dict)
    shares: bool = True
    """Whether prefixes are shared; else prompts run whole."""
    position: str = "rope (transformers)"
    """What `inspect` says."""
    known_as: str = ""
    """Published models of this kind."""
    vllm: str = OWN_MODEL
    """How vLLM takes it, or a part of why it is refused."""

    @property
    def kind(self) -> Any:
        import transformers
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

        return getattr(transformers, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[self.model_type])

    def config(self) -> Any:
        """A fresh config of the tiny model."""
        from transformers import CONFIG_MAPPING

        config = CONFIG_MAPPING[self.model_type](**{**SHAPE, **self.settings})
        config.architectures = [self.kind.__name__]
        return config

    def save(self, folder: Path) -> Path:
        """A checkpoint folder with random weights, as transformers writes it."""
        config = self.config()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = self.kind(config)
            for parameter in model.parameters():  # classes begin with their own spreads, and zeros for sinks and biases
                if parameter.ndim == 1 and not parameter.any():
                    torch.nn.init.normal_(parameter, std=0.4)
        model.save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
        return folder


FAMILIES = [
    Family("Llama, llama3", "llama", {"rope_parameters": LLAMA3}, position="rope, llama3 factor 8 from 64 (transformers)",
           known_as="Llama 3.1, 3.2, 3.3"),
    Family("Llama, yarn", "llama", {"rope_parameters": YARN}, position="rope, yarn factor 4 from 128 (transformers)",
           known_as="long Llama 2 derivatives"),
    Family("Llama, dynamic NTK", "llama", {"max_position_embeddings": 48, "rope_parameters": {"rope_type": "dynamic", "factor": 4.0,
           "rope_theta": 1e4}}, shares=False, vllm=NOT_COMPARED, position="rope, dynamic NTK factor 4 from 48 (transformers)", known_as="Llama with dynamic NTK"),
    Family("Llama, longrope", "llama", {"rope_parameters": {**LONG, "factor": 4.0}}, shares=False, vllm=NOT_COMPARED,
           position="rope, longrope factor 4 from 48 (transformers)", known_as="Llama-shaped longrope models"),
    Family("Qwen2", "qwen2", known_as="Qwen2, Qwen2.5"),
    Family("Qwen2, window in late layers", "qwen2", {"use_sliding_window": True, "max_window_layers": 1, **WINDOW},
           position="rope, full attention on 1 layer in 2, sliding window 20 elsewhere (transformers)", known_as="Qwen2 with a window", vllm="a window in all layers or in none"),
    Family("Qwen2, yarn", "qwen2", {"rope_parameters": YARN}, position="rope, yarn factor 4 from 128 (transformers)",
           known_as="Qwen2.5 beyond 32k"),
    Family("Qwen3", "qwen3", {"head_dim": 16}, known_as="Qwen3"),
    Family("Qwen3 MoE", "qwen3_moe", {"head_dim": 16, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24},
           known_as="Qwen3-30B-A3B"),
    Family("Mistral", "mistral", WINDOW, position="rope, sliding window 20 (transformers)", known_as="Mistral 7B v0.1"),
    Family("Mistral without a window", "mistral", {"sliding_window": None}, known_as="Mistral 7B v0.3, Nemo"),
    Family("Mixtral", "mixtral", {"num_local_experts": 4, "sliding_window": None}, known_as="Mixtral 8x7B"),
    Family("Gemma", "gemma", {"head_dim": 16}, known_as="Gemma"),
    Family("Gemma 2", "gemma2", {"head_dim": 16, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 5.0,
           "final_logit_softcapping": 3.0, **WINDOW}, position="rope, full attention on 1 layer in 2, sliding window 20 elsewhere (transformers)",
           known_as="Gemma 2"),
    Family("Gemma 3", "gemma3_text", {"head_dim": 16, "query_pre_attn_scalar": 16, "num_hidden_layers": 4, "layer_types":
           ["sliding_attention"] * 3 + ["full_attention"], **WINDOW}, position="rope base 1,000,000 on full attention and rope base 10,000 on sliding attention, "
           "full attention on 1 layer in 4, sliding window 20 elsewhere (transformers)", known_as="Gemma 3 (text)"),
    Family("Phi", "phi", {"partial_rotary_factor": 0.5}, position="rope on 50% of each head (transformers)", known_as="Phi-1.5, Phi-2", vllm=BY_CLASS),
    Family("Phi-3", "phi3", {"sliding_window": None}, known_as="Phi-3-mini-4k"),
    Family("Phi-3, longrope", "phi3", {"rope_parameters": LONG, "original_max_position_embeddings": 48, "sliding_window": None},
           shares=False, vllm=NOT_COMPARED, position="rope, longrope from 48 (transformers)", known_as="Phi-3-mini-128k, Phi-4-mini"),
    Family("GPT-NeoX", "gpt_neox", {"rotary_pct": 0.25, "hidden_size": 64}, position="rope on 25% of each head (transformers)",
           known_as="Pythia, GPT-NeoX-20B", vllm=BY_CLASS),
    Family("GPT-2", "gpt2", {"n_positions": 512}, position="learned positions (transformers)", known_as="GPT-2"),
    Family("OLMo 2", "olmo2", known_as="OLMo 2", vllm=BY_CLASS),
    Family("OLMo 3", "olmo3", {"layer_types": ["sliding_attention", "full_attention"], **WINDOW},
           position="rope, full attention on 1 layer in 2, sliding window 20 elsewhere (transformers)", known_as="OLMo 3", vllm=BY_CLASS),
    Family("Granite", "granite", {"logits_scaling": 3.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5,
           "attention_multiplier": 0.3}, known_as="Granite 3"),
    Family("GPT-OSS", "gpt_oss", {"head_dim": 16, "num_local_experts": 4, "num_experts_per_tok": 2, "rope_parameters":
           {**YARN, "beta_fast": 32.0, "beta_slow": 1.0, "truncate": False}, **WINDOW}, position="rope, yarn factor 4 from 128, full attention on 1 layer in 2, sliding window 20 elsewhere (transformers)",
           known_as="gpt-oss (attention sinks)"),
    Family("Cohere 2", "cohere2", {"num_hidden_layers": 4, "layer_types": ["sliding_attention"] * 3 + ["full_attention"], **WINDOW},
           position="rope on layers with a window only, full attention on 1 layer in 4, sliding window 20 elsewhere (transformers)", known_as="Command R7B", vllm="windows reach a token further"),
    Family("GLM-4", "glm4", {"head_dim": 16}, position="rope on 50% of each head (transformers)", known_as="GLM-4-0414"),
    Family("StableLM", "stablelm", {"partial_rotary_factor": 0.5}, position="rope on 50% of each head (transformers)", known_as="StableLM 2"),
    Family("StarCoder 2", "starcoder2", known_as="StarCoder 2", vllm=BY_CLASS),
    Family("Jamba", "jamba", JAMBA, shares=False, vllm=NOT_COMPARED, position="no positions, a state on 1 layer in 2 (transformers)", known_as="Jamba (state-space hybrid)"),
    Family("Qwen3-Next", "qwen3_next", {"head_dim": 16, "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8,
           "linear_value_head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
           "shared_expert_intermediate_size": 24, "layer_types": ["linear_attention", "full_attention"]}, shares=False, vllm=NOT_COMPARED,
           position="rope on 25% of each head, a state on 1 layer in 2 (transformers)", known_as="Qwen3-Next (linear attention hybrid)"),
    Family("Falcon", "falcon", {"alibi": True, "new_decoder_architecture": False}, shares=False, vllm=NOT_COMPARED, position="alibi (transformers)",
           known_as="Falcon-RW"),
]  # fmt: skip


def page_table() -> list[str]:
    """The table of docs/models.md, a line each."""
    lines = [
        "| family | such as | class | positions of the test's tiny model | prompts | vLLM |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for family in FAMILIES:
        how = "shared prefixes, chunks, side by side" if family.shares else "whole, one by one"
        vllm = family.vllm if family.vllm in (OWN_MODEL, BY_CLASS) else "refused"
        position = family.position.removesuffix(" (transformers)")
        lines.append(f"| {family.name} | {family.known_as} | `{family.kind.__name__}` | {position} | {how} | {vllm} |")
    return lines


def write_page(page: Path) -> None:
    """Put the table into the page, in place of the one that is there."""
    lines = page.read_text(encoding="utf-8").splitlines()
    kept = [number for number, line in enumerate(lines) if line.startswith("|")]
    page.write_text("\n".join([*lines[: kept[0]], *page_table(), *lines[kept[-1] + 1 :]]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_page(Path(__file__).resolve().parents[2] / "docs" / "models.md")
