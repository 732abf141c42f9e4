"""What a checkpoint is, read from its config and its safetensors headers without loading weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ropepp_eval.checkpoints.architectures import kernel_for
from ropepp_eval.checkpoints.cache_layers import CacheKinds, cache_entries
from ropepp_eval.checkpoints.families import why_whole
from ropepp_eval.checkpoints.folder import name_parts, revision_of
from ropepp_eval.checkpoints.header import main_dtype
from ropepp_eval.checkpoints.position_words import rotary_base
from ropepp_eval.checkpoints.reading import ReadCheckpoint, met_by_a_token, parameters_of, read_checkpoint
from ropepp_eval.positions.scaling import scaling_label
from ropepp_eval.positions.settings import position_label, settings_label

_DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4, "float64": 8}


@dataclass(frozen=True, kw_only=True)
class CheckpointInfo:
    """A checkpoint as `ropepp-eval inspect` shows it."""

    name: str
    """The folder's or repository's own name."""
    folder: str
    architecture: str
    """The class that computes it: `RopePPForCausalLM`, or one of transformers' own, such as `Qwen3ForCausalLM`."""
    model_type: str
    """transformers' name of its config's class; `ropepp` for ours."""
    position: str
    """Name of the position embedding, without its scaling; of transformers' own classes, how positions enter, in words."""
    scaling: str
    """`none`, `pi8`, `yarn32`: how positions are stretched."""
    base: float | None
    """Rotary base; None where nothing rotates."""
    evidence: tuple[str, ...]
    """What told the position embedding, one sentence each."""
    query_heads: int
    """Heads that q_proj makes."""
    key_value_heads: int
    """Heads that are kept in the cache."""
    attention_heads: int
    """Heads that attend; o_proj reads them."""
    head_dim: int
    layers: int
    hidden_size: int
    intermediate_size: int
    """Width of the widest MLP that a token goes through."""
    cache: CacheKinds
    """What the layers keep of the tokens they have read."""
    whole: str
    """Why prompts are read whole, one by one, without sharing prefixes; empty where they are shared."""
    parameters: int
    """Entries of all tensors that the model uses; tied ones counted once."""
    matrix_parameters: int
    """Of them those that a token is multiplied with, embedding and output aside; of experts those that it meets."""
    vocab_size: int
    max_position_embeddings: int
    """Context length trained for, in tokens."""
    dtype: str
    """Of most of the stored weights, as torch calls it."""
    sha256: str
    """Hash of config.json and the weights' content."""
    has_tokenizer: bool
    sdpa: bool = True
    """Whether the `sdpa` kernel computes all that the class means; else `eager` runs in its place."""
    biased: bool = False
    """Whether scores get a bias by distance."""
    sinks: bool = False
    """Whether each head has a score of its own beside those of the keys (GPT-OSS)."""
    overruled: str = ""
    """Settings of the position embedding that are not those of config.json, such as `strongest=0.5`."""
    settings: str = ""
    """All settings of the position embedding but its scaling, as they became."""
    note: str | None = None
    """What config.json says of the checkpoint (`note`), such as that its weights are random."""
    stop_ids: tuple[int, ...] = ()
    """Tokens that end a text beside the tokenizer's EOS, from generation_config.json, else config.json."""
    settled: tuple[str, ...] = ()
    """How the folder is read where others might read it differently, one sentence each."""
    revision: str | None = None
    """Commit of the hub's repository that it was fetched from."""
    by_card: bool = False
    """Whether all this is what a card says, since the files are not here."""

    @property
    def path_parts(self) -> tuple[str, ...]:
        """Folders that lead to it and its name, for telling it from others; of a hub's snapshot owner and repository."""
        return (*name_parts(Path(self.folder))[:-1], self.name)

    @property
    def label(self) -> str:
        """The position embedding with settings and scaling, as `--position` takes it: `rope`, `ropepp_ec+yarn32`."""
        return position_label(self.position, self.overruled, self.scaling)

    @property
    def facts(self) -> dict[str, Any]:
        """What results keep of a checkpoint, without where it lies on this machine."""
        return {
            "position": self.position,
            "architecture": self.architecture,
            "scaling": self.scaling,
            "overruled": self.overruled,
            "settings": self.settings,
            "base": self.base,
            "note": self.note,
            "parameters": self.parameters,
            "kv_bytes_per_token": self.kv_bytes_per_token,
            "max_position_embeddings": self.max_position_embeddings,
            "evidence": list(self.evidence),
            "stop_ids": list(self.stop_ids),
            "settled": list(self.settled),
            **({"revision": self.revision} if self.revision else {}),
            "sha256": self.sha256,
        }

    @property
    def ours(self) -> bool:
        """Whether our own class computes it, and not one of transformers'."""
        return self.model_type == "ropepp"

    def kernel(self, asked: str) -> str:
        """The attention kernel that runs where one is asked for."""
        return "eager" if asked == "sdpa" and not self.sdpa else asked

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that a token adds to the cache in the weights' own dtype, as long as no window is full."""
        return self.kv_bytes(self.dtype)

    def kv_bytes(self, dtype: str) -> int:
        """Bytes that a token adds to the cache in a dtype such as `bfloat16`, as long as no window is full."""
        return (cache_entries(self.cache, 2) - cache_entries(self.cache, 1)) * _DTYPE_BYTES[dtype]

    def cache_bytes(self, length_tokens: int) -> int:
        """Bytes of the cache of so many tokens in the weights' own dtype."""
        return cache_entries(self.cache, length_tokens) * _DTYPE_BYTES[self.dtype]


def inspect_checkpoint(path_or_hub_id: str | Path, *, position: str | None = None) -> CheckpointInfo:
    """What a checkpoint is. Reads config.json and safetensors headers, and the files once for their hash; loads no weights.

    What it accepts loads, unless a weight is NaN or infinite, which only loading looks for.

    Args:
        path_or_hub_id: a folder, `owner/name` on the hub, or the name of a card.
        position: what the weights can't tell: such as `nope`, `rope+pi8`, `ropepp_ec+yarn32`.

    Raises:
        UserError: it can't be used; the message names the file, field or tensor.
    """
    return describe(read_checkpoint(path_or_hub_id, position))


def describe(read: ReadCheckpoint) -> CheckpointInfo:
    """What inspecting shows of a checkpoint that has been read; hashes its files."""
    config, heads = read.config, read.heads
    return CheckpointInfo(
        name=read.folder.name,
        folder=str(read.folder.path),
        architecture=read.kind.__name__,
        model_type=config.model_type,
        position=read.position,
        evidence=read.evidence,
        query_heads=heads.query,
        key_value_heads=heads.key_value,
        attention_heads=heads.attention,
        head_dim=read.head_dim,
        layers=config.num_hidden_layers,
        hidden_size=config.hidden_size,
        intermediate_size=widest_mlp(config),
        cache=read.kinds,
        whole=why_whole(config, read.kinds),
        sdpa=kernel_for(config, read.kind, "sdpa") == "sdpa",
        parameters=parameters_of(read.tensors),
        matrix_parameters=met_by_a_token({name: tensor.shape for name, tensor in read.tensors.items()}, config),
        biased=read.ours and config.position_embedding.biased,
        sinks=any(name.endswith(".sinks") for name in read.tensors),
        vocab_size=config.vocab_size,
        max_position_embeddings=read.max_position_embeddings,
        dtype=main_dtype(read.tensors),
        sha256=read.folder.sha256,
        has_tokenizer=read.folder.has_tokenizer,
        overruled=read.overruled,
        note=read.note,
        stop_ids=read.ids.stops,
        settled=read.settled,
        revision=revision_of(read.folder.path),
        **_embedding_facts(read),
    )


def _embedding_facts(read: ReadCheckpoint) -> dict[str, Any]:
    """What is known of the position embedding's numbers; of transformers' own classes the words say the rest."""
    if not read.ours:
        return {"scaling": "none", "base": rotary_base(read.config)}
    embedding = read.config.position_embedding
    return {
        "scaling": scaling_label(getattr(embedding, "scaling", None)),
        "base": getattr(embedding, "base", None),
        "settings": settings_label(embedding),
    }


def widest_mlp(config: Any) -> int:
    """Width that an MLP has at most while a token goes through it: of a mixture, of all experts that a token meets."""
    hidden = int(config.hidden_size)
    names = ("intermediate_size", "ffn_hidden_size", "n_inner", "ffn_dim")
    dense = next((int(found) for name in names if (found := getattr(config, name, None))), 4 * hidden)
    expert = int(getattr(config, "moe_intermediate_size", None) or dense)
    experts = getattr(config, "num_experts_per_tok", None) or 0
    return max(dense, expert * int(experts))
