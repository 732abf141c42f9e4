"""Registration is explicit, and can be asked for again."""

from __future__ import annotations

import subprocess
import sys

from lm_eval.api.registry import get_model
from transformers import AutoConfig, AutoModelForCausalLM

import ropepp_eval
from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM


def test_registering_twice_is_registering_once():
    ropepp_eval.register()
    ropepp_eval.register()
    config = AutoConfig.for_model("ropepp", position="ropepp_eh", num_attention_heads=4, hidden_size=32, vocab_size=7,
                                  num_hidden_layers=1, intermediate_size=8)  # fmt: skip
    assert isinstance(config, RopePPConfig)
    assert isinstance(AutoModelForCausalLM.from_config(config), RopePPForCausalLM)
    assert get_model("ropepp").__name__ == "NativeLM"


def test_importing_registers_nothing():
    code = (
        "import importlib\n"
        "for module in ('ropepp_eval', 'ropepp_eval.registration', 'ropepp_eval.modeling', 'ropepp_eval.checkpoints'):\n"
        "    importlib.import_module(module)\n"
        "    from transformers import CONFIG_MAPPING\n"
        "    assert 'ropepp' not in CONFIG_MAPPING, f'{module} registers on import'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_positions_know_only_torch():
    code = "import sys, ropepp_eval.positions as p\np.positions()\nassert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
