"""Making our model and tasks known to transformers and lm-eval. Nothing here runs on import."""

from __future__ import annotations

_LM_EVAL_MODELS = {"ropepp": "ropepp_eval.adapters.native:NativeLM", "ropepp-vllm": "ropepp_eval.adapters.vllm:VllmLM"}


def register() -> None:
    """Make `ropepp` known to transformers' Auto classes and to lm-eval's model registry. Safe to call again."""
    _register_transformers()
    _register_lm_eval()


def _register_transformers() -> None:
    from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

    from ropepp_eval.modeling import RopePPConfig, RopePPForCausalLM, RopePPModel

    AutoConfig.register(RopePPConfig.model_type, RopePPConfig, exist_ok=True)
    AutoModel.register(RopePPConfig, RopePPModel, exist_ok=True)
    AutoModelForCausalLM.register(RopePPConfig, RopePPForCausalLM, exist_ok=True)


def _register_lm_eval() -> None:
    import lm_eval.models  # noqa: F401 (lm-eval registers its own models only while no other is registered)
    from lm_eval.api.registry import model_registry

    for name, target in _LM_EVAL_MODELS.items():
        if name not in model_registry:
            model_registry.register(name, target=target)
