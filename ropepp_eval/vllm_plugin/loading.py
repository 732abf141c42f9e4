"""How vLLM gets a checkpoint's weights: from exactly the files that were checked, each tensor looked at for NaN."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from vllm.config import CompilationMode, get_current_vllm_config_or_none
from vllm.model_executor.model_loader.base_loader import BaseModelLoader

from ropepp_eval.checkpoints.reading import read_checkpoint
from ropepp_eval.checkpoints.weights import read_tensors
from ropepp_eval.errors import UserError
from ropepp_eval.vllm_plugin import PINNED_FILES, POSITION_OVERRIDE


class RopePPLoader(BaseModelLoader):  # type: ignore[misc]
    """Load format `ropepp`."""

    def download_model(self, model_config: Any) -> None:
        """Nothing: the config parser has found the files."""

    def load_weights(self, model: Any, model_config: Any) -> None:
        """Raises UserError where the files are not those that whoever started the engine had checked."""
        overrides = model_config.hf_overrides
        asked = overrides.get(POSITION_OVERRIDE) if isinstance(overrides, Mapping) else None
        with _nothing_compiled():
            read = read_checkpoint(model_config.model, asked)
        pinned = (self.load_config.model_loader_extra_config or {}).get(PINNED_FILES)
        if pinned is not None and pinned != [file.as_json for file in read.folder.weights]:
            raise UserError(
                f"checkpoint {read.folder.name} changed while the engine started; run again when it stays as it is"
            )
        weights = read_tensors(read.folder.weights, read.tensors, lambda name: read.stored_dtype(name, model_config.dtype))
        model.load_weights(weights)


@contextlib.contextmanager
def _nothing_compiled() -> Iterator[None]:
    """Models that are made meanwhile run as they are. Where vLLM runs transformers' own class it has made that class one that compiles
    itself, and our reader asks a model of it, without weights, what it keeps."""
    config = get_current_vllm_config_or_none()
    if config is None:
        yield
        return
    mode, config.compilation_config.mode = config.compilation_config.mode, CompilationMode.NONE
    try:
        yield
    finally:
        config.compilation_config.mode = mode
