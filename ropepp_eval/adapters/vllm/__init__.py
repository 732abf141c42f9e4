"""The vLLM engine, in processes of its own."""

from ropepp_eval.adapters.vllm.lm import VllmLM

__all__ = ["VllmLM"]
