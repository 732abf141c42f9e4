"""Every family of docs/models.md through the adapter, against plain transformers: forward pass and `generate`, in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ropepp_eval import inspect_checkpoint, load_checkpoint
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.checkpoints.export import export_checkpoint
from ropepp_eval.checkpoints.families import SHARING
from ropepp_eval.errors import UserError
from tests.adapters.families import FAMILIES, Family, page_table
from tests.adapters.toys import Letters, instances

NAMES = [family.name for family in FAMILIES]
BOOK = "the book says that who reads it knows what it is; "
PAIRS = [(BOOK * 3 + question, choice) for question in ("who", "what is it") for choice in (" a", " bbb")]
PAIRS += [("a", "b"), (BOOK[:33], " x"), (BOOK, " yy")]
SETTINGS: list[dict[str, Any]] = [{}, {"chunk_tokens": 16, "batch_tokens": 64}]
PROMPTS = [BOOK[:9], BOOK * 2 + "so", BOOK * 2 + "or what is", BOOK[:30]]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {family.name: family.save(root / str(number)) for number, family in enumerate(FAMILIES)}


def plain(folder: Path, family: Family) -> Any:
    """transformers' own reading of the folder; eager where sdpa would leave out soft caps or sinks."""
    kernel = "eager" if family.model_type in ("gemma2", "gpt_oss") else "sdpa"
    return family.kind.from_pretrained(folder, dtype=torch.float32, attn_implementation=kernel).eval()


@torch.no_grad()
def plain_score(model: Any, before: list[int], after: list[int]) -> float:
    ids = torch.tensor([[*before, *after]])
    logprobs = model(input_ids=ids[:, :-1], use_cache=False).logits[0, len(before) - 1 :].double().log_softmax(-1)
    return float(logprobs[range(len(after)), ids[0, len(before) :]].sum())


def plain_text(model: Any, ids: list[int], budget: int) -> list[int]:
    prompt = torch.tensor([ids])
    settings = {"max_new_tokens": budget, "do_sample": False, "pad_token_id": 0}
    made = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
    return list(made[0, len(ids) :].tolist())


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_answers_are_those_of_plain_transformers(family: Family, folders: dict[str, Path]) -> None:
    """Scores and texts, in whatever pieces; the plain model of a family whose rope remembers is read anew for each."""
    folder, remembers = folders[family.name], "dynamic" in family.name
    model, reference = load_checkpoint(folder, dtype="float32"), plain(folder, family)
    wanted: list[Any] = []
    for settings in SETTINGS:
        lm = NativeLM.from_objects(model, Letters(), max_length=512, **settings)
        assert lm.forward.whole != family.shares
        prompts = [(prompt, {"max_gen_toks": 12}) for prompt in PROMPTS]
        requests = [*instances("loglikelihood", *PAIRS), *instances("generate_until", *prompts)]
        for number in range(len(requests) if not wanted else 0):
            reference = plain(folder, family) if remembers else reference
            if number < len(PAIRS):
                wanted.append(plain_score(reference, *lm.encoder.pair(*PAIRS[number])))
            else:
                ids = plain_text(reference, lm.encoder.encode(PROMPTS[number - len(PAIRS)]), 12)
                wanted.append(lm.tokenizer.decode(ids, skip_special_tokens=True))
        answers = dict(lm.answers(requests))
        for number, expected in enumerate(wanted):
            found = answers[number].response
            if number < len(PAIRS):
                assert found[0] == pytest.approx(expected, abs=1e-4, rel=1e-5)
            else:
                assert found == expected


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_inspect_says_what_it_is(family: Family, folders: dict[str, Path]) -> None:
    info = inspect_checkpoint(folders[family.name])
    model = load_checkpoint(folders[family.name])
    assert (info.position, info.architecture) == (family.position, family.kind.__name__)
    assert bool(info.whole) != family.shares
    assert info.parameters == model.num_parameters()
    assert info.max_position_embeddings == model.config.max_position_embeddings


def test_every_family_that_shares_is_tested() -> None:
    assert {family.model_type for family in FAMILIES if family.shares} == set(SHARING)


def test_the_cache_of_windows_is_bounded_and_the_store_keeps_them_whole(folders: dict[str, Path]) -> None:
    info = inspect_checkpoint(folders["Gemma 3"])
    one = 2 * 2 * 16 * 4  # keys and values of two heads, 16 wide, in float32
    assert info.cache_bytes(10) == 4 * one * 10
    assert info.cache_bytes(100) == one * (100 + 3 * 20)
    lm = NativeLM.from_objects(load_checkpoint(folders["Gemma 3"], dtype="float32"), Letters())
    assert lm.shapes.kv_bytes(100, 4) == 4 * one * 100


def test_an_answer_does_not_depend_on_longer_texts_before_it(folders: dict[str, Path]) -> None:
    """Plain dynamic rope keeps the angles of the longest text so far until a short one comes."""
    model = load_checkpoint(folders["Llama, dynamic NTK"], dtype="float32")
    lm = NativeLM.from_objects(model, Letters(), max_length=512)
    (first,) = lm.loglikelihood(instances("loglikelihood", (BOOK, " a")), disable_tqdm=True)
    lm.loglikelihood(instances("loglikelihood", (BOOK * 5, " a")), disable_tqdm=True)
    (again,) = lm.loglikelihood(instances("loglikelihood", (BOOK, " a")), disable_tqdm=True)
    assert first == again


def test_position_names_are_for_our_own_classes(folders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="leave --position out"):
        inspect_checkpoint(folders["Qwen3"], position="rope+pi8")
    assert inspect_checkpoint(folders["Llama, yarn"], position="rope+yarn32").label == "rope+yarn32"


def test_the_page_of_models_is_made_from_this_table() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("|")] == page_table(), "python -m tests.adapters.families"


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_an_exported_checkpoint_is_the_same_model(family: Family, folders: dict[str, Path], tmp_path: Path) -> None:
    folder = folders[family.name]
    exported = export_checkpoint(folder, tmp_path / "out")
    for field in (
        "position",
        "architecture",
        "parameters",
        "max_position_embeddings",
        "cache",
        "whole",
        "stop_ids",
        "dtype",
    ):
        assert getattr(inspect_checkpoint(exported), field) == getattr(inspect_checkpoint(folder), field), field
    ids = torch.arange(40).reshape(1, -1)
    with torch.inference_mode():
        assert torch.equal(load_checkpoint(exported)(ids).logits, load_checkpoint(folder)(ids).logits)
