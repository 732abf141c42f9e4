"""A GGUF file becomes a folder that computes what the file's own writer computed, with its tokenizer, or is refused in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.checkpoints.export import export_checkpoint
from ropepp_eval.checkpoints.gguf_tokenizer import merged_by_score
from ropepp_eval.cli import main
from ropepp_eval.errors import UserError
from ropepp_eval.tokens.tokenizer import load_tokenizer

gguf = pytest.importorskip("gguf", reason="the extra `gguf` is not installed")

TEXTS = [
    "The grass is green. One of the magic numbers is 1234567; don't ask.",
    "I have 3,141 words\n\n  in <two> lines.",
] * 20
TEMPLATE = "{% for m in messages %}<|turn|>{{ m.role }}\n{{ m.content }}<|end|>{% endfor %}"
Change = Callable[[Any], None]


@pytest.fixture(scope="module")
def llama() -> Any:
    """A random Llama with its own head, grouped heads and another width a head than hidden size over heads."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=400, hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        head_dim=16, max_position_embeddings=256, rope_parameters={"rope_type": "default", "rope_theta": 50_000.0}, rms_norm_eps=1e-6,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The tokenizer that the model would have been trained with: digits one by one, then bytes."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|turn|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    backend.train_from_iterator(TEXTS, trainer)
    while backend.get_vocab_size() < 400:
        backend.add_tokens([f"<pad{backend.get_vocab_size()}>"])
    return backend


def write(
    file: Path, model: Any, backend: Tokenizer, *, architecture: str = "llama", change: Change = lambda writer: None,
    kind: Any = gguf.GGMLQuantizationType.F32, pre: str | None = "smollm", gives: Change = lambda writer: None,
) -> Path:  # fmt: skip
    """A GGUF file as llama.cpp's converter writes one: `change` adds metadata, `gives` adds tensors."""
    writer = gguf.GGUFWriter(file, architecture)
    config = model.config
    writer.add_context_length(config.max_position_embeddings)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_rope_dimension_count(config.head_dim)
    vocabulary = sorted(backend.get_vocab().items(), key=lambda entry: entry[1])
    writer.add_tokenizer_model("gpt2")
    if pre is not None:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list([token for token, _ in vocabulary])
    writer.add_token_types(
        [3 if token.startswith("<|") else 4 if token.startswith("<pad") else 1 for token, _ in vocabulary]
    )
    writer.add_token_merges([" ".join(pair) for pair in _merges(backend)])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_chat_template(TEMPLATE)
    change(writer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        values = tensor.numpy()
        if own := heads.get(name.split(".")[-2]):  # llama.cpp's own order of a head's rows
            values = values.reshape(own, 2, config.head_dim // 2, -1).swapaxes(1, 2).reshape(values.shape)
        target = names.get_name(name, try_suffixes=(".weight",))
        if values.ndim == 1 or kind == gguf.GGMLQuantizationType.F32:
            writer.add_tensor(target, np.ascontiguousarray(values))
        else:
            writer.add_tensor(target, gguf.quantize(np.ascontiguousarray(values), kind), raw_dtype=kind)
    gives(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _merges(backend: Tokenizer) -> list[tuple[str, str]]:
    import json

    return [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, llama: Any, tokenizer: Tokenizer) -> Path:
    return write(tmp_path_factory.mktemp("gguf") / "tiny.gguf", llama, tokenizer)


@pytest.fixture(scope="module")
def folder(file: Path) -> Path:
    return export_checkpoint(file, file.parent / "exported")


def test_weights_config_and_logits_are_those_that_were_written(folder: Path, llama: Any) -> None:
    info = inspect_checkpoint(folder)
    assert (info.position, info.base, info.dtype, info.max_position_embeddings) == ("rope", 50_000, "float32", 256)
    assert (info.query_heads, info.key_value_heads, info.head_dim, info.layers) == (4, 2, 16, 2)
    assert info.note == "weights from tiny.gguf (F32)"
    ids = torch.arange(60).reshape(1, -1)
    with torch.inference_mode():
        torch.testing.assert_close(load_checkpoint(folder)(ids).logits, llama(ids).logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["F16", "Q8_0", "BF16"])
def test_stored_types_are_read_as_transformers_own_reader_reads_them(
    kind: str, tmp_path: Path, llama: Any, tokenizer: Tokenizer
) -> None:
    stored = write(tmp_path / "stored.gguf", llama, tokenizer, kind=gguf.GGMLQuantizationType[kind])
    exported = load_checkpoint(export_checkpoint(stored, tmp_path / "exported")).state_dict()
    theirs = LlamaForCausalLM.from_pretrained(tmp_path, gguf_file="stored.gguf", dtype=torch.float32).state_dict()
    for name, tensor in theirs.items():
        assert torch.equal(exported[name], tensor), name


def test_the_tokenizer_is_the_one_that_the_vocabulary_was_made_with(folder: Path, tokenizer: Tokenizer) -> None:
    loaded = load_tokenizer(str(folder))
    for text in (*TEXTS[:2], "x12 345\n\n<|turn|>user 7<|end|> 'tis  ", "é—一 🙂 2024-01-01"):
        assert loaded.encode(text) == tokenizer.encode(text).ids
    assert loaded.decode(loaded.encode("a <|end|>b")) == "a b"
    assert (loaded.rules.bos, loaded.rules.eos, loaded.most_added_tokens) == (0, 1, 0)
    assert loaded.fast.chat_template == TEMPLATE


@pytest.mark.parametrize(
    ("pre", "text", "pieces"),
    [
        ("smollm", "in 2024 don't", ["in", "Ġ", "2", "0", "2", "4", "Ġdon", "'t"]),
        ("gpt-2", "in 2024 don't", ["in", "Ġ2024", "Ġdon", "'t"]),
        ("llama-bpe", "in 20245 DON'T\n", ["in", "Ġ", "202", "45", "ĠDON", "'T", "Ċ"]),
    ],
)
def test_the_named_way_to_split_a_text(
    pre: str, text: str, pieces: list[str], tmp_path: Path, llama: Any, tokenizer: Tokenizer
) -> None:
    loaded = load_tokenizer(str(export_checkpoint(write(tmp_path / "m.gguf", llama, tokenizer, pre=pre), tmp_path / "out")))
    assert [piece for piece, _ in loaded.backend.pre_tokenizer.pre_tokenize_str(text)] == pieces
    assert loaded.most_added_tokens == (1 if pre == "llama-bpe" else 0)  # Llama 3 begins every text with BOS


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another architecture": ({"architecture": "qwen2"}, "general.architecture is \"qwen2\"; only llama"),
    "an unknown way to split": ({"pre": "deepseek-llm"}, 'tokenizer.ggml.pre is "deepseek-llm", a way to split texts that is not known'),
    "no way to split": ({"pre": None}, "tokenizer.ggml.pre is null"),
    "scaled positions": ({"change": lambda w: w.add_rope_scaling_type(gguf.RopeScalingType.YARN)}, "llama.rope.scaling.type is \"yarn\""),
    "experts": ({"change": lambda w: w.add_expert_count(8)}, "llama.expert_count is 8"),
    "a field of another model": ({"change": lambda w: w.add_logit_scale(0.5)}, "llama.logit_scale is 0.5, which a plain Llama"),
    "frequencies of Llama 3.1": (
        {"gives": lambda w: w.add_tensor("rope_freqs.weight", np.ones(8, np.float32))}, "rope_freqs.weight scales the frequencies",
    ),
    "a bias": ({"gives": lambda w: w.add_tensor("blk.0.attn_q.bias", np.ones(64, np.float32))}, "attn_q.bias a plain Llama does not have"),
    "a layer too many": (
        {"gives": lambda w: w.add_tensor("blk.2.attn_norm.weight", np.ones(64, np.float32))}, "of a layer beyond llama.block_count",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_plain_llama_is_refused_and_nothing_is_written(
    name: str, tmp_path: Path, llama: Any, tokenizer: Tokenizer, capsys: pytest.CaptureFixture[str]
) -> None:
    given, message = REFUSED[name]
    stored = write(tmp_path / "m.gguf", llama, tokenizer, **given)
    capsys.readouterr()
    assert main(["export", str(stored), str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert [path.name for path in tmp_path.iterdir()] == ["m.gguf"]


@pytest.mark.parametrize("kept", [3, 30, 2_000, 20_000, -40])
def test_a_damaged_file_is_one_line(kept: int, file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"broken\.gguf.*(can't be read|copy or download|take the model|belong)"):
        export_checkpoint(broken, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["inspect"], ["run", "--tasks", "niah_single_1", "--lengths", "256"]])
def test_commands_say_what_to_do_with_a_gguf_file(
    command: list[str], file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (file, file.parent):
        assert main([command[0], str(path), *command[1:]]) == 2
        assert f"ropepp-eval export {file} DIR" in capsys.readouterr().err


def test_sentencepiece_scores_become_a_tokenizer(tmp_path: Path, llama: Any) -> None:
    """The merges made of the scores give what SentencePiece's own rule gives, and bytes stand in for what is not in the vocabulary."""
    words = ["▁the", "▁g", "gr", "ee", "een", "▁gr", "▁green", "the", "▁", "▁▁", "▁is", "is", "▁1"]
    letters = sorted(set("".join(words)) | set("abcdefghijklmnopqrstuvwxyz0123456789.,:'ABCH"))
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *dict.fromkeys([*words, *letters])]
    scores = [0.0] * 259 + [-float(number) for number in range(len(tokens) - 259)]
    kinds = [2, 3, 3, *[6] * 256, *[1] * (len(tokens) - 259)]
    model = LlamaForCausalLM(LlamaConfig.from_dict({**llama.config.to_dict(), "vocab_size": len(tokens)}))

    def change(writer: Any) -> None:
        for name, value in (("model", "llama"), ("tokens", tokens), ("token_type", kinds)):
            key = f"tokenizer.ggml.{name}"
            writer.kv_data[0][key].value = value
            if isinstance(value, list):
                writer.kv_data[0][key].sub_type = None
        writer.add_token_scores(scores)
        writer.add_eos_token_id(2)
        writer.add_bos_token_id(1)

    empty = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
    loaded = load_tokenizer(
        str(export_checkpoint(write(tmp_path / "m.gguf", model, empty, change=change, pre=None), tmp_path / "out"))
    )
    score = dict(zip(tokens[259:], scores[259:], strict=True))
    for text in ("the green is the", "green  the 1 is", "H: it's the greeeen."):
        expected = merged_by_score("▁" + text.replace(" ", "▁"), score)
        assert loaded.backend.encode(text, add_special_tokens=False).tokens == expected
        assert loaded.decode(loaded.encode(text)) == text
    assert loaded.decode(loaded.encode("é\n")) == "é\n"
    assert loaded.prompt_ids("the")[0] == 1
