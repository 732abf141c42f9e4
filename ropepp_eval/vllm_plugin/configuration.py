"""How vLLM reads a checkpoint's config: through our checkpoint reader, whatever form the files have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import vllm.config  # noqa: F401  first: the modules below import each other through it
from vllm.transformers_utils.config_parser_base import ConfigParserBase
from vllm.transformers_utils.model_arch_config_convertor import ModelArchConfigConvertorBase

from ropepp_eval.modeling.configuration import RopePPConfig
from ropepp_eval.vllm_plugin import POSITION_OVERRIDE


class RopePPConfigParser(ConfigParserBase):  # type: ignore[misc]
    """Config format `ropepp`: the authors' form, with or without `rope_config`, or ours."""

    def parse(
        self,
        model: str | Path,
        trust_remote_code: bool,
        revision: str | None = None,
        code_revision: str | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], RopePPConfig]:
        """The fields of a checkpoint's config and the config itself. Raises UserError where the checkpoint can't be used."""
        from ropepp_eval.checkpoints.reading import read_checkpoint

        overrides = kwargs.get("hf_overrides")
        asked = overrides.get(POSITION_OVERRIDE) if isinstance(overrides, Mapping) else None
        config = read_checkpoint(model, asked).config
        return config.to_dict(), config


class RopePPArchitecture(ModelArchConfigConvertorBase):  # type: ignore[misc]
    """Head counts as attention and cache see them, which differ from the config's fields in EH and EC."""

    def get_total_num_attention_heads(self) -> int:
        attention: int = self.hf_text_config.heads.attention
        return attention

    def get_total_num_kv_heads(self) -> int:
        key_value: int = self.hf_text_config.heads.key_value
        return key_value
