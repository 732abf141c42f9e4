"""The out-of-tree vLLM model. vLLM calls `register` in each of its processes, through the entry point `vllm.general_plugins`."""

from __future__ import annotations

import os

MODULES_VARIABLE = "ROPEPP_EVAL_POSITION_MODULES"
"""Environment variable: Python files that register position embeddings, separated as in PATH; engine processes inherit it."""
CONFIG_FORMAT = "ropepp"
"""Name of our config parser: `vllm serve FOLDER --config-format ropepp`."""
LOAD_FORMAT = "ropepp"
"""Name of our loader, which reads exactly the files that were checked: `vllm serve FOLDER --load-format ropepp`."""
PINNED_FILES = "files"
"""Key of vLLM's `model_loader_extra_config` that holds them (`PinnedFile.as_json`)."""

POSITION_OVERRIDE = "ropepp_position"
"""Key of vLLM's `hf_overrides` that names the position embedding, such as `rope+pi8`, where the files can't."""


def register() -> None:
    """Make the model, its config, its head counts and its loader known to vLLM in this process. Safe to call again."""
    from transformers import AutoConfig
    from vllm import ModelRegistry
    from vllm.model_executor import model_loader
    from vllm.transformers_utils import config as vllm_config
    from vllm.transformers_utils.model_arch_config_convertor import MODEL_ARCH_CONFIG_CONVERTORS

    from ropepp_eval.modeling.configuration import RopePPConfig
    from ropepp_eval.positions import load_position_module
    from ropepp_eval.vllm_plugin.configuration import RopePPArchitecture, RopePPConfigParser
    from ropepp_eval.vllm_plugin.loading import RopePPLoader

    for file in filter(None, os.environ.get(MODULES_VARIABLE, "").split(os.pathsep)):
        load_position_module(file)
    AutoConfig.register(RopePPConfig.model_type, RopePPConfig, exist_ok=True)
    ModelRegistry.register_model("RopePPForCausalLM", "ropepp_eval.vllm_plugin.model:RopePPForCausalLM")
    vllm_config._CONFIG_FORMAT_TO_CONFIG_PARSER[CONFIG_FORMAT] = RopePPConfigParser  # the public call warns when repeated
    model_loader._LOAD_FORMAT_TO_MODEL_LOADER[LOAD_FORMAT] = RopePPLoader  # as above
    MODEL_ARCH_CONFIG_CONVERTORS[RopePPConfig.model_type] = RopePPArchitecture
