"""The torch engine, in this process."""

from ropepp_eval.adapters.native.lm import NativeLM

__all__ = ["NativeLM"]
