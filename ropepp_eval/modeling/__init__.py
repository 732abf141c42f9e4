"""The Hugging Face classes: each only its difference from transformers' Llama."""

from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.modeling.model import RopePPForCausalLM, RopePPModel

__all__ = ["RopePPConfig", "RopePPForCausalLM", "RopePPModel"]
