"""What every position embedding offers: heads, tables, encoding, bias, and its Hugging Face and published forms.

A position embedding is a frozen dataclass derived from `Position`; its fields are its settings. The model, the checkpoint
reader and the command line ask it these questions and never look at its name. What is not overridden is what NoPE does.

B batch, H attention heads, K key/value heads, T tokens, D head size. `encode` works on projections [B, heads, T, D].
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ropepp_eval.errors import UserError
from ropepp_eval.positions.rotation import inverse_frequencies, rotate, rotation_tables
from ropepp_eval.positions.scaling import Scaling, scaling_from_rope_parameters, scaling_label
from ropepp_eval.positions.settings import checked_settings


@dataclass(frozen=True)
class Heads:
    """How many heads a layer projects, keeps in its cache and attends with."""

    query: int
    key_value: int
    attention: int


@dataclass(frozen=True, kw_only=True)
class Position:
    """Base of all position embeddings; by itself it changes nothing, as NoPE does."""

    name: ClassVar[str] = ""
    """Set by `@position(name)`."""
    told_by_shapes: ClassVar[bool] = False
    """Whether tensor names and shapes alone tell that a checkpoint without any word in its config is of this kind."""

    linear_bias: ClassVar[bool] = False
    """Whether that bias is a slope times the distance, which flash attention takes as `alibi_slopes`."""
    _bias_takes_heads: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._bias_takes_heads = "heads" in inspect.signature(cls.bias).parameters

    # shape

    @classmethod
    def heads(cls, query_heads: int, key_value_heads: int) -> Heads:
        """Heads of a layer from the config's num_attention_heads and num_key_value_heads.

        Raises:
            UserError: this embedding can't be built with such counts.
        """
        return Heads(query_heads, key_value_heads, query_heads)

    @classmethod
    def head_roles(cls, heads: Heads) -> tuple[str, ...]:
        """`real` or `imaginary` for each attention head, in the order of the output projection."""
        return ("real",) * heads.attention

    def check(self, heads: Heads, head_dim: int) -> None:
        """Raise UserError where these settings can't work with this head size."""

    def stored(self, heads: Heads, head_dim: int) -> dict[str, Tensor]:
        """Tensors of a layer's attention that the checkpoint holds, by name, as a new model would start with them.

        They are kept in float32 whatever the model's dtype, and are not trained.
        """
        return {}

    # mathematics

    def frequencies(self, head_dim: int) -> Tensor:
        """float32 [N] on the CPU, radians a position: all that `tables` needs besides the positions."""
        return torch.zeros(0, device="cpu")

    def tables(self, positions: Tensor, frequencies: Tensor) -> tuple[Tensor, ...]:
        """What every layer of a forward pass shares, from integer positions [B, T]; float32."""
        return ()

    def encode(
        self, query: Tensor, key: Tensor, tables: tuple[Tensor, ...], stored: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """query [B, query heads, T, D] and key [B, K, T, D] as [B, H, T, D] and [B, K, T, D] that enter attention."""
        return query, key

    def bias(self, distance: Tensor, stored: Mapping[str, Tensor], heads: Heads) -> Tensor:
        """float32 [H, ...] added to the scaled scores of keys that lie `distance` [...] tokens back (float32; 0 is itself).

        Overriding it is what makes an embedding biased. It may depend on the distance alone, which lets long prompts go block by block.
        It is called by keyword; one that does not need `heads` may leave it out.
        """
        return torch.zeros((), device=distance.device)

    def bias_of(self, distance: Tensor, stored: Mapping[str, Tensor], heads: Heads) -> Tensor:
        """`bias` as kernels call it: float32 [H, ...] for distances [...]."""
        given: dict[str, Any] = {"heads": heads} if self._bias_takes_heads else {}
        return self.bias(distance=distance.to(torch.float32), stored=stored, **given).to(torch.float32)

    def check_bias(self, heads: Heads, head_dim: int) -> None:
        """Raise UserError where `bias` fails or gives another shape than [H, ...] for distances of any number of axes."""
        if not self.biased:
            return
        with torch.device("cpu"), torch.no_grad():
            stored = self.stored(heads, head_dim)
            for shape in ((), (3,), (2, 3, 5)):
                try:
                    found = tuple(self.bias_of(torch.ones(shape), stored, heads).shape)
                except Exception as error:
                    raise UserError(
                        f"bias of position {self.name} fails for distances {list(shape)} with "
                        f"{type(error).__name__}: {' '.join(str(error).split())[:160]}; correct it"
                    ) from error
                if found != (heads.attention, *shape):
                    raise UserError(
                        f"bias of position {self.name} is {list(found)} for distances {list(shape)}; with {heads.attention} "
                        f"attention heads it must be {[heads.attention, *shape]}"
                    )

    @property
    def biased(self) -> bool:
        """Whether scores get a bias: true where `bias` is overridden."""
        return type(self).bias is not Position.bias

    # Hugging Face form

    def to_hf(self) -> dict[str, dict[str, Any]]:
        """Fields of our config.json: `rope_parameters` (as transformers keeps it) and `position_settings` (the rest)."""
        return {"rope_parameters": {}, "position_settings": dataclasses.asdict(self)}

    @classmethod
    def from_hf(cls, rope_parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> Self:
        """The inverse of `to_hf`. Raises UserError for a setting this embedding does not have."""
        scaling = {"scaling": settings["scaling"]} if "scaling" in settings and _takes_scaling(cls) else {}
        checked = checked_settings(cls, {name: value for name, value in settings.items() if name not in scaling})
        return cls(**checked, **scaling)

    def stretched(self, scaling: Scaling | None) -> Self:
        """The same with another scaling. Raises UserError where there are no angles to stretch."""
        if _takes_scaling(type(self)):
            return dataclasses.replace(self, **{"scaling": scaling})
        if scaling is not None:
            raise UserError(f"position {self.name!r} has no rotary angles to stretch; leave out +{scaling_label(scaling)}")
        return self

    # published form

    @classmethod
    def claim(cls, config: Mapping[str, Any]) -> str | None:
        """Which field of an authors' config.json says that the checkpoint is of this kind, in words; None: none does."""
        return None

    @classmethod
    def from_published(cls, config: Mapping[str, Any], scaling: Scaling | None) -> Self:
        """Settings from an authors' config.json; `scaling` is what the config, card or user says.

        Raises:
            UserError: the config lacks or contradicts what this embedding needs.
        """
        return cls().stretched(scaling)


def _takes_scaling(kind: type[Position]) -> bool:
    return "scaling" in {field.name for field in dataclasses.fields(kind)}


def published_base(config: Mapping[str, Any]) -> float:
    """The rotary base of a config.json as transformers reads it: `rope_parameters` first, then `rope_theta`, then 10,000."""
    for field in ("rope_parameters", "rope_scaling"):
        parameters = config.get(field) or {}
        if parameters.get("rope_theta") is not None:
            return float(parameters["rope_theta"])
    return float(config.get("rope_theta") or 10000.0)


@dataclass(frozen=True, kw_only=True)
class Rotary(Position):
    """Base of the embeddings that turn queries and keys by position times frequency."""

    base: float = 10000.0
    """Rotary base; the long models have 500,000."""
    scaling: Scaling | None = None
    """Linear PI or YaRN; None is plain."""

    def __post_init__(self) -> None:
        if not self.base > 1:
            raise UserError(f"rotary base {self.base!r} is not above 1; the published models have 10000 or 500000")

    def check(self, heads: Heads, head_dim: int) -> None:
        if head_dim % 2:
            raise UserError(f"head_dim {head_dim} is odd; {self.name} pairs dimensions, so give an even head_dim")

    def frequencies(self, head_dim: int) -> Tensor:
        plain = inverse_frequencies(self.base, head_dim)
        return plain if self.scaling is None else self.scaling.stretch(plain)

    def tables(self, positions: Tensor, frequencies: Tensor) -> tuple[Tensor, ...]:
        """cos and sin, float32 [B, T, D]."""
        return rotation_tables(positions, frequencies, 1.0 if self.scaling is None else self.scaling.table_scale)

    def encode(
        self, query: Tensor, key: Tensor, tables: tuple[Tensor, ...], stored: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        return rotate(query, *tables), rotate(key, *tables)

    def to_hf(self) -> dict[str, dict[str, Any]]:
        settings = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("base", "scaling")}
        stretched = {"rope_type": "default"} if self.scaling is None else self.scaling.to_rope_parameters()
        return {"rope_parameters": {"rope_theta": self.base, **stretched}, "position_settings": settings}

    @classmethod
    def from_hf(cls, rope_parameters: Mapping[str, Any], settings: Mapping[str, Any]) -> Self:
        rotary = {
            "base": float(rope_parameters.get("rope_theta") or 10000.0),
            "scaling": scaling_from_rope_parameters(dict(rope_parameters), "rope_parameters"),
        }
        both = sorted(set(rotary) & set(settings))
        if both:
            raise UserError(f"position_settings hold {both[0]!r}, which belongs in rope_parameters; move it there")
        return super().from_hf({}, {**settings, **rotary})

    @classmethod
    def from_published(cls, config: Mapping[str, Any], scaling: Scaling | None) -> Self:
        return cls(base=published_base(config), scaling=scaling)
