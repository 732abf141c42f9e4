"""The adapter as lm-eval builds and calls it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ropepp_eval
from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.errors import UserError
from tests.adapters.toys import instances


def test_lm_eval_builds_it_from_its_argument_text(tiny_checkpoint: Path) -> None:
    from lm_eval.api.registry import get_model

    ropepp_eval.register()
    text = f"pretrained={tiny_checkpoint},dtype=float32,max_length=64,truncate=left,add_bos_token=False"
    lm = get_model("ropepp").create_from_arg_string(text, {"batch_size": "auto:4", "max_batch_size": 8, "device": "cpu"})
    assert isinstance(lm, NativeLM)
    assert lm.max_length == 64
    assert lm.settings.truncate == "left"
    assert lm.settings.batch_size is None
    ((value, _),) = lm.loglikelihood(instances("loglikelihood", ("The sky", " is")), disable_tqdm=True)
    assert value < 0
    info = lm.get_model_info()
    assert info["model_dtype"] == "float32"
    assert info["attention"] == "sdpa"
    known = ropepp_eval.inspect_checkpoint(tiny_checkpoint)
    assert info["checkpoint"] == {"name": tiny_checkpoint.name, **known.facts}


def test_the_trained_length_is_the_limit_unless_another_is_given(tiny_checkpoint: Path) -> None:
    assert NativeLM(str(tiny_checkpoint)).max_length == 8192
    assert NativeLM(str(tiny_checkpoint), max_length="100").max_length == 100


def test_a_checkpoint_without_a_tokenizer_needs_one_by_name(
    tiny_checkpoint: Path, tiny_tokenizer_dir: Path, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_checkpoint / name, bare)
    with pytest.raises(UserError, match="tokenizer"):
        NativeLM(str(bare))
    lm = NativeLM(str(bare), tokenizer=str(tiny_tokenizer_dir))
    assert lm.loglikelihood(instances("loglikelihood", ("The sky", " is")), disable_tqdm=True)


@pytest.mark.parametrize(
    ("setting", "value"), [("chunk_tokens", "many"), ("max_length", 0), ("add_bos_token", "perhaps"), ("chunk_token", 5)]
)
def test_a_setting_that_can_not_be_read_is_refused_by_name(tiny_checkpoint: Path, setting: str, value: object) -> None:
    with pytest.raises(UserError, match=setting):
        NativeLM(str(tiny_checkpoint), **{setting: value})


def test_answers_are_cached_where_lm_eval_asks_for_it(tiny_checkpoint: Path) -> None:
    lm = NativeLM(str(tiny_checkpoint))
    kept: list[tuple[str, object, object]] = []

    class Hook:
        def add_partial(self, *arguments: object) -> None:
            kept.append(arguments)  # type: ignore[arg-type]

    lm.set_cache_hook(Hook())
    values = lm.loglikelihood(instances("loglikelihood", ("The sky", " is")), disable_tqdm=True)
    assert kept == [("loglikelihood", ("The sky", " is"), values[0])]


def test_requests_of_all_kinds_are_answered_together(tiny_checkpoint: Path) -> None:
    lm = NativeLM(str(tiny_checkpoint))
    requests = [
        *instances("generate_until", ("The sky", {"max_gen_toks": 3})),
        *instances("loglikelihood", ("The sky", " is")),
        *instances("loglikelihood_rolling", ("The sky is blue.",), ("",)),
        *instances("sliding_window", ("The sky is blue. " * 5, {"window": 8, "stride": 4})),
    ]
    answers = dict(lm.answers(requests))
    assert sorted(answers) == [0, 1, 2, 3, 4]
    assert all(answer.error is None for answer in answers.values())
    assert answers[3].response == 0
    assert [answers[i].finish for i in range(5)][1:] == ["scored"] * 4
    assert answers[0].budget == 3
    assert all(len(answer.prompt_sha256) == 64 and answer.seconds >= 0 for answer in answers.values())
    assert sum(len(window.logprobs) for window in answers[4].response) == answers[4].new_tokens


def test_an_unknown_request_type_stops_before_anything_runs(tiny_checkpoint: Path) -> None:
    with pytest.raises(UserError, match="multiple_choice"):
        list(NativeLM(str(tiny_checkpoint)).answers(instances("multiple_choice", ("a", "b"))))
