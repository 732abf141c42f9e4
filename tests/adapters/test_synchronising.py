"""On a GPU every value that Python looks at makes the processor wait for the device. A step of generation may ask for one: the tokens that
its rows chose, all at once. Counted here on the CPU, where asking costs nothing and is seen all the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch.overrides import TorchFunctionMode

from ropepp_eval.adapters.native import NativeLM
from ropepp_eval.tokens.ids import Tokenizer
from tests.adapters.families import FAMILIES
from tests.adapters.toys import Letters, instances

MODELS = Path(__file__).resolve().parents[2] / "models/demo"
ASKING = {"item", "tolist", "nonzero", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__"}


class Counted(TorchFunctionMode):
    """Counts what asks a tensor for its values."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in ASKING:
            self.calls[name] += 1
        return func(*args, **(kwargs or {}))


def asked(lm: NativeLM, tokens: int) -> Counter[str]:
    """What two uneven rows ask for until each has so many tokens."""
    requests = instances(
        "generate_until",
        ("a page of a book", {"max_gen_toks": tokens, "until": []}),
        ("another one", {"max_gen_toks": tokens, "until": []}),
    )
    lm.end_ids = frozenset()
    with Counted() as counted:
        answers = dict(lm.answers(requests))
    assert [answer.new_tokens for answer in answers.values()] == [tokens, tokens]
    return counted.calls


@pytest.mark.parametrize("name", ["rope", "ropepp_ec", "ropepp_eh", "fope", "partial", "alibi", "nope"])
def test_a_step_asks_the_device_once(name: str) -> None:
    lm = NativeLM(str(MODELS / name), dtype="float32")
    more = asked(lm, 40) - asked(lm, 20)
    assert more == {"tolist": 20}


@pytest.mark.parametrize("name", ["Qwen3", "Gemma 3"])
def test_a_step_of_transformers_own_classes_asks_the_device_once(name: str, tmp_path: Path) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    lm = NativeLM(str(family.save(tmp_path / "model")), tokenizer=Tokenizer(Letters(), ""), dtype="float32")
    more = asked(lm, 40) - asked(lm, 20)
    assert more == {"tolist": 20}
