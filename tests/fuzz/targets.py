"""The formats: a right file of each, and what reads it. Every right file is read without complaint before it is mutated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

STORY = "The mill stands by the river. Nobody works there now, says “Ann”. Children play behind it in summer. It rains a lot in autumn. "
BOOK = STORY.replace(". ", " and, as far as anybody in the town knows, this was so when she was young. ")
PUNKT = "nltk_data/tokenizers/punkt_tab/english"


@dataclass(frozen=True)
class Target:
    """One format."""

    file: str
    """The file that is mutated, inside the case's folder."""
    read: Callable[[Path], int]
    """Read the folder as a user's command does. Gives the exit status, or raises what the command line would meet."""
    parts: tuple[str, ...]
    """What of `make_base` the folder holds."""


def _cli(*arguments: str) -> Callable[[Path], int]:
    """A command; `@` at the begin of an argument is the case's folder."""

    def read(root: Path) -> int:
        from ropepp_eval.cli import _dispatch

        return _dispatch([str(root) + argument[1:] if argument.startswith("@") else argument for argument in arguments])

    return read


def _show(task: str, *more: str, length: str = "1k") -> Callable[[Path], int]:
    return _cli(
        "tasks", "show", task, "--length", length, "--tokenizer", "@/tok", "--data-dir", "@/data", "--format", "json", *more
    )


def _corpus(file: str, read: Callable[[Path], int]) -> Target:
    return Target(f"data/{file}", read, ("tok", "data"))


def _stored_rows(root: Path) -> int:
    """As `run` reads them when it goes on."""
    from ropepp_eval.runs.store import RunStore, read_manifest

    cell = SimpleNamespace(file="a-00000000/niah_single_1@4096.jsonl")
    manifest = read_manifest(root / "run") or {}
    store = RunStore(root / "run", manifest)
    store.finished(cell)
    print("\n".join(store.damage))
    return 0


def _zoo_card(root: Path) -> int:
    from ropepp_eval.checkpoints.cards import _read, config_of_card

    config_of_card(_read(root / "card/Mine.yaml"))
    return 0


def _demo_card(root: Path) -> int:
    from ropepp_eval.demo.card import read_card

    read_card(root / "demo")
    return 0


def _task_yaml(root: Path) -> int:
    from ropepp_eval.rows.task_files import task_files, task_of

    for file, content in task_files(root / "task"):
        task_of(file, content)
    return 0


_RUN = ("--tasks", "niah_single_1", "--lengths", "512", "--samples", "1", "--offline", "--quiet", "--out", "@/out")
TARGETS: dict[str, Target] = {
    "essays": _corpus("essays/a.txt", _show("niah_single_2", "--protocol", "paper")),
    "punkt": _corpus(f"{PUNKT}/ortho_context.tab", _show("niah_single_2")),
    "books": _corpus("gutenberg/a.txt", _show("babilong_qa1")),
    "babi": _corpus("babi/en-10k/qa1_x_test.txt", _show("babilong_qa1")),
    "babilong": _corpus("babilong/qa2/1k.json", _show("babilong_qa2")),
    "lambada": _corpus("lambada/lambada_test.jsonl", _show("lambada")),
    "wikitext": _corpus("wikitext-2-raw/wiki.test.raw", _show("wikitext")),
    "openbookqa": _corpus("openbookqa/Main/test.jsonl", _show("openbookqa")),
    "labels": _corpus("piqa/dev-labels.lst", _show("short_piqa", "--protocol", "paper")),
    "gpqa": _corpus("gpqa/gpqa_diamond.csv", _show("short_gpqa", "--protocol", "paper")),
    "wsc": _corpus("SuperGLUE/WSC/val.jsonl", _show("super_glue_wsc", "--protocol", "paper")),
    "hellaswag": _corpus("hellaswag/hellaswag.jsonl", _show("short_hellaswag")),
    "winogrande": _corpus("winogrande/dev.jsonl", _show("short_winogrande")),
    "arc": _corpus("ARC/ARC-e/ARC-Easy-Test.jsonl", _show("short_arc_easy")),
    "truthfulqa": _corpus("truthful_qa/multiple_choice.jsonl", _show("short_truthfulqa_mc2")),
    "wic": _corpus("SuperGLUE/WiC/val.jsonl", _show("super_glue_wic")),
    "multirc": _corpus("SuperGLUE/MultiRC/val.jsonl", _show("super_glue_multirc")),
    "squad": _corpus("squad/dev.json", _show("qa_squad", "--repeat-text")),
    "hotpotqa": _corpus("hotpotqa/dev.json", _show("qa_hotpotqa", "--repeat-text")),
    "data.json": Target("data/data.json", _cli("data", "check", "@/data"), ("data",)),
    "run.json": Target("run/run.json", _cli("table", "@/run", "--layout", "tasks"), ("run",)),
    "rows in tables": Target("run/rows/a-00000000/niah_single_1@4096.jsonl", _cli("table", "@/run", "--ci", "--counts", "rows,failed"), ("run",)),
    "rows by depth": Target("run/rows/a-00000000/niah_single_1@4096.jsonl", _cli("table", "@/run", "--layout", "depth"), ("run",)),
    "rows in runs": Target("run/rows/a-00000000/niah_single_1@4096.jsonl", _stored_rows, ("run",)),
    "lm-eval results": Target("lm/results_1.json", _cli("table", "@/lm"), ("lm",)),
    "lm-eval samples": Target("lm/samples_piqa_1.jsonl", _cli("table", "@/lm"), ("lm",)),
    "card of the zoo": Target("card/Mine.yaml", _zoo_card, ("card",)),
    "card of a demo": Target("demo/card.json", _demo_card, ("demo",)),
    "config.json": Target("model/config.json", _cli("inspect", "@/model"), ("model",)),
    "safetensors header": Target("model/model.safetensors", _cli("inspect", "@/model"), ("model",)),
    "safetensors index": Target("shards/model.safetensors.index.json", _cli("inspect", "@/shards"), ("shards",)),
    "generation_config.json": Target("model/generation_config.json", _cli("run", "@/model", *_RUN), ("model",)),
    "tokenizer_config.json": Target("model/tokenizer_config.json", _cli("run", "@/model", *_RUN), ("model",)),
    "tokenizer.json": Target("tok/tokenizer.json", _show("niah_single_1"), ("tok", "data")),
    "task YAML": Target("task/mine.yaml", _task_yaml, ("task",)),
}  # fmt: skip


def make_base(root: Path) -> None:
    """A right file of every format, in the folders that `Target.parts` names."""
    _tokenizer_and_models(root)
    _data(root / "data")
    _run(root / "run")
    _lm_eval(root / "lm")
    _cards(root)


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_text(text, encoding="utf-8", errors="surrogatepass")


def _lines(*records: Any) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _tokenizer_and_models(root: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

    from tests.conftest import make_tiny_checkpoint

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=512, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator([STORY] * 20, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", bos_token="<|end|>")
    fast.save_pretrained(root / "tok")
    make_tiny_checkpoint(root / "model", root / "tok", seed=1)
    shutil.copytree(root / "model", root / "shards")
    (root / "shards/model.safetensors").unlink()
    LlamaForCausalLM.from_pretrained(root / "model").save_pretrained(root / "shards", max_shard_size="60KB")
    generation = root / "model/generation_config.json"
    if not generation.exists():
        _write(generation, {"bos_token_id": 0, "eos_token_id": [0], "do_sample": False})


def _data(root: Path) -> None:
    choices = [{"text": text, "label": label} for text, label in (("water", "A"), ("stone", "B"))]
    questions = [
        {"id": f"1-{n}", "question": {"stem": f"Mill {n} is driven by", "choices": choices}, "answerKey": "A"}
        for n in range(4)
    ]
    squad = [
        {
            "context": f"Mill {n} stands in the town of Orvik{n}. " * 6,
            "qas": [{"id": str(n), "question": f"Where is mill {n}?", "is_impossible": False, "answers": [{"text": f"Orvik{n}", "answer_start": 9}]}],
        }
        for n in range(6)
    ]  # fmt: skip
    hotpot = [
        {
            "_id": f"h{n}", "question": "Who?", "answer": "Ann", "supporting_facts": [[f"Mill {n}", 0], ["Town", 0]],
            "context": [[f"Mill {n}", ["A mill. ", "It is old."]], ["Town", ["A town."]]],
        }
        for n in range(4)
    ]  # fmt: skip
    babi = "1 Ann went to the kitchen.\n2 Bob went to the garden.\n3 Where is Ann? \tkitchen\t1\n"
    files = {
        "essays/a.txt": STORY * 60,
        "gutenberg/a.txt": BOOK * 60,
        "babi/en-10k/qa1_x_test.txt": babi * 3,
        "babilong/qa2/1k.json": [{"input": "Ann went to the kitchen.", "question": "Where is Ann? ", "target": "kitchen"}] * 3,
        "lambada/lambada_test.jsonl": _lines({"text": "One café is open"}, {"text": "The miller went back to the mill"}),
        "wikitext-2-raw/wiki.test.raw": " = Mill = \n \n A mill ( or \" works \" ) is [ a house ] . \n \n = = Use = = \n \n It 's used . \n" * 4,
        "openbookqa/Main/test.jsonl": _lines(*questions),
        "piqa/dev.jsonl": _lines(*[{"goal": "open a jar", "sol1": "turn the lid", "sol2": "paint the lid"}] * 3),
        "piqa/dev-labels.lst": "0\n1\n0\n",
        "gpqa/gpqa_diamond.csv": "a,b,c,d,e,f,g,Question,Correct,W1,W2,W3\n" + ',,,,,,,"Which, of ""these""?",one,two,three,four\n' * 3,
        "hellaswag/hellaswag.jsonl": _lines(
            {"activity_label": "Milling", "ctx_a": "A man [step] mills.", "ctx_b": "he", "endings": ["rests.", "mills."], "label": "1"},
            {"query": "Milling: He", "choices": ["rests.", "mills."], "gold": 0},
        ),
        "winogrande/dev.jsonl": _lines(
            {"qID": "w", "sentence": "The _ is by the river.", "option1": "mill", "option2": "sea", "answer": "1"}
        ),
        "ARC/ARC-e/ARC-Easy-Test.jsonl": _lines(*questions),
        "truthful_qa/multiple_choice.jsonl": _lines(
            {
                "question": "Do mills sleep?",
                "mc1_targets": {"choices": ["No.", "Yes."], "labels": [1, 0]},
                "mc2_targets": {"choices": ["No.", "Never.", "Yes."], "labels": [1, 1, 0]},
            }
        ),
        "SuperGLUE/WiC/val.jsonl": _lines(
            {"word": "mill", "sentence1": "A mill.", "sentence2": "He mills.", "start1": 2, "end1": 6, "label": False}
        ),
        "SuperGLUE/MultiRC/val.jsonl": _lines(
            {"passage": {"text": "Ann mills.", "questions": [{"question": "Who?", "answers": [{"text": "Ann", "label": 1}]}]}}
        ),
        "SuperGLUE/WSC/val.jsonl": _lines(
            {
                "text": "Ann met Bob before she left",
                "target": {"span1_index": 0, "span1_text": "Ann", "span2_index": 4, "span2_text": "she"},
                "label": "true",
            }
        ),
        "squad/dev.json": {"version": "v2.0", "data": [{"title": "Mills", "paragraphs": squad}]},
        "hotpotqa/dev.json": hotpot,
        f"{PUNKT}/abbrev_types.txt": "dr\nmr\n",
        f"{PUNKT}/collocations.tab": "##number##\tth\n",
        f"{PUNKT}/sent_starters.txt": "the\nit\n",
        f"{PUNKT}/ortho_context.tab": "the\t46\nann\t12\nit\t46\n",
    }  # fmt: skip
    for name, content in files.items():
        _write(root / name, content)
    from ropepp_eval.data.manifest import FileRecord, Manifest, write_manifest
    from ropepp_eval.hashing import hash_file

    records = {
        name: FileRecord(sha256=hash_file(root / name), size_bytes=(root / name).stat().st_size, origin="folder")
        for name in files
    }
    write_manifest(root, Manifest(source="folder", files=records))


def _run(root: Path) -> None:
    from ropepp_eval.records import line_of
    from tests.stored import record

    names = ("checkpoint", "checkpoint_sha256", "position", "benchmark", "task", "length_tokens", "protocol")
    rows = [record(f"k{n}", row=n, scores={"string_match": float(n % 2)}, details={"depths": [25.0 * n]}) for n in range(5)]
    rows += [record("k5", {"stage": "score", "type": "ValueError", "message": "no"}, row=5)]
    path = root / "rows/a-00000000/niah_single_1@4096.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(map(line_of, rows)))
    metrics = {"string_match": {"aggregation": "mean", "higher_is_better": True, "scale": 100.0}}
    _write(
        root / "run.json",
        {
            "format": 2, "run_id": "r", "created": "2026-01-01T00:00:00+00:00", "status": "success", "finished": "2026-01-01T00:01:00+00:00",
            "identity": {"seed": 42}, "arguments": {"samples": 6}, "cells": [{name: rows[0][name] for name in names} | {"samples": 6}],
            "tasks": {"niah_single_1": {"benchmark": "ruler", "primary": "string_match", "metrics": metrics}},
            "checkpoints": {"a": {"parameters": 1000, "kv_bytes_per_token": 64, "max_position_embeddings": 4096, "position": "rope"}},
            "seed": 42, "tokenizers": {"a": {"name": "tok", "sha256": "1" * 64}}, "data_sha256": None,
            "settings": {"dtype": "float32", "attention": "sdpa", "device": "cpu", "backend": "native"}, "versions": {"torch": "2"},
            "ran": {"a": {"device": "cpu"}}, "events": {"a": ["one"]}, "failures": [], "commit": None, "dirty": None,
        },
    )  # fmt: skip


def _lm_eval(root: Path) -> None:
    samples = [
        {"doc_id": n, "doc_hash": f"d{n}", "prompt_hash": f"p{n}", "target_hash": f"t{n}", "target": "0", "filter": "none",
         "filtered_resps": [["-1.0", "False"]], "acc": float(n % 2)}
        for n in range(4)
    ]  # fmt: skip
    _write(root / "samples_piqa_1.jsonl", _lines(*samples))
    _write(
        root / "results_1.json",
        {
            "results": {"piqa": {"alias": "piqa", "acc,none": 0.5, "acc_stderr,none": 0.28, "acc_norm,none": "N/A"}},
            "configs": {"piqa": {"task": "piqa", "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}], "metadata": {"version": 1.0}}},
            "n-samples": {"piqa": {"original": 4, "effective": 4}}, "higher_is_better": {"piqa": {"acc": True}}, "model_name": "org/mine",
            "config": {"model": "hf", "model_num_parameters": 1000, "model_sha": "abc", "model_dtype": "torch.float32", "limit": None},
            "date": 1750000000.5, "max_length": 2048, "lm_eval_version": "0.4.13",
        },
    )  # fmt: skip


def _cards(root: Path) -> None:
    from ropepp_eval.paths import resource_dir

    card = next(resource_dir("models").glob("RoPEPP_EC*376M-32k.yaml"))
    _write(root / "card/Mine.yaml", card.read_text(encoding="utf-8").replace(f"name: {card.stem}", "name: Mine"))
    demo = json.loads((resource_dir("models") / "demo/rope/card.json").read_text(encoding="utf-8"))
    _write(root / "demo/card.json", demo | {"losses": demo["losses"][:5], "answer_losses": []})
    _write(root / "task/mine.yaml", (resource_dir("tasks") / "lambada/lambada.yaml").read_text(encoding="utf-8"))
