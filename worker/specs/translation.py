"""`/v1/translate`: a precision setup of one system in another, with a report of what does not come through."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from pydantic import Field

from engine.errors import EngineError
from engine.serialization import translate as engine_translate
from engine.serialization.translate import Item
from worker.specs.errors import SpecError, from_engine
from worker.specs.notices import Notice
from worker.specs.shape import Anything, OpenSpec, Spec

System: TypeAlias = Literal[
    "tf2.3", "tf2.4", "tf_keras", "keras3", "torch", "deepspeed", "megatron", "fairseq", "jmp", "apex"
]
EXAMPLE = {"fp16": {"enabled": True, "initial_scale_power": 16, "hysteresis": 2}, "zero_optimization": {"stage": 2}}


class TranslateRequest(Spec):
    """A config of one system, to be written for another."""

    source: System = Field(alias="from", description="The system that the config is of.", examples=["deepspeed"])
    to: System = Field(description="The system to write it for.", examples=["torch"])
    config: Anything = Field(
        description="What that system takes or writes: of Keras a policy, a loss scale, an optimizer, or an object of "
        'these ({"policy", "optimizer"}); of torch {"autocast", "grad_scaler"}, or the arguments or the state of a '
        "GradScaler; of DeepSpeed its config or the fp16 block alone; the arguments of Megatron, fairseq and "
        'amp.initialize (Apex); of jmp a policy string or {"policy", "loss_scale"}.',
        examples=[EXAMPLE],
    )


class ItemShape(OpenSpec):
    """One thing that the config says."""

    field: str = Field(
        description='In the same words for every system; "unused:" and a path for a setting without effect where it '
        'stands, "other:" and a path for one about other things than precision.',
        examples=["growth_interval"],
    )
    source: str | None = Field(description="Where the config says it; null for a default, or what no setting changes.")
    target: str | None = Field(description="Where the translation says it; null likewise.")
    value: Any = Field(description="What it is.")
    became: Any = Field(description="What it is in the translation; null where it is lost.")
    why: str = Field(description="What is different, and why; empty where nothing is.")

    @classmethod
    def of(cls, item: Item) -> ItemShape:
        """Return the shape of an item."""
        return cls(
            field=item.field,
            source=item.source,
            target=item.target,
            value=item.value,
            became=item.became,
            why=item.why,
        )


class Translated(Spec):
    """The translation, and what became of everything that the config says."""

    config: Any = Field(description="The translation.")
    exact: tuple[ItemShape, ...] = Field(description="What it says as the original does.")
    approximate: tuple[ItemShape, ...] = Field(description="What it says or does otherwise.")
    dropped: tuple[ItemShape, ...] = Field(description="What it does not say.")
    assumed: tuple[ItemShape, ...] = Field(description="What it says and the original does not.")
    warnings: tuple[Notice, ...] = ()


def translate(request: TranslateRequest) -> Translated:
    """Write a config of one system for another.

    Raises:
        SpecError: it is no config of that system, or nothing like it can be written for the other.
    """
    try:
        found = engine_translate.translate(request.source, request.to, request.config)
    except EngineError as error:
        raise SpecError([from_engine(error, {"config": request.config}, "config")]) from error
    return Translated(
        config=found.config,
        exact=_shapes(found.exact),
        approximate=_shapes(found.approximate),
        dropped=_shapes(found.dropped),
        assumed=_shapes(found.assumed),
        warnings=tuple(Notice(code="refused_when_compiled", message=text) for text in found.warnings),
    )


def _shapes(items: Iterable[Item]) -> tuple[ItemShape, ...]:
    return tuple(map(ItemShape.of, items))
