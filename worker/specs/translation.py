"""`/v1/translate`: a precision setup of one system in another, with a report of what does not come through."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, Literal, TypeAlias

from pydantic import Field

from engine.errors import EngineError
from engine.serialization import translate as engine_translate
from engine.serialization.translate import Item, Remark
from worker.specs.errors import SpecError, from_engine, pointer_to
from worker.specs.notices import Notice
from worker.specs.places import reachable
from worker.specs.shape import Config, OpenSpec, Spec

System: TypeAlias = Literal[
    "tf2.3", "tf2.4", "tf_keras", "keras3", "torch", "deepspeed", "megatron", "fairseq", "jmp", "apex"
]
EXAMPLE = {"fp16": {"enabled": True, "initial_scale_power": 16, "hysteresis": 2}, "zero_optimization": {"stage": 2}}


class Fill(Spec):
    """The mixed precision that a loader of DeepSpeed configs is asked for."""

    fp16: bool = False
    bf16: bool = False


class TranslateRequest(Spec):
    """A config of one system, to be written for another."""

    source: System = Field(alias="from", description="The system that the config is of.", examples=["deepspeed"])
    to: System = Field(description="The system to write it for.", examples=["torch"])
    config: Config = Field(
        description="What that system takes or writes: of Keras a policy, a loss scale, an optimizer, an object of "
        'these ({"policy", "optimizer"}), or what is saved of a compiled model; of torch {"autocast", "grad_scaler"}, '
        "the arguments or the state of a GradScaler, or the dtypes of FSDP; of DeepSpeed its config or the fp16 block "
        "alone; the arguments of Megatron and fairseq, by name, by flag, in the groups of their YAML files or as "
        'a command line; those of amp.initialize (Apex); of jmp a policy string or {"policy", "loss_scale"}.',
        examples=[EXAMPLE],
    )
    fill: Fill | None = Field(
        default=None,
        description='What the Trainer of Transformers or Accelerate is asked for, which replaces `"auto"` in a '
        "DeepSpeed config; null leaves it to DeepSpeed, which takes its defaults.",
        examples=[{"fp16": True}],
    )


class ItemShape(OpenSpec):
    """One thing that the config says."""

    field: str = Field(
        description='In the same words for every system; "unused:" and a path for a setting without effect where it '
        'stands, "precision:" and a path for one of precision that no field holds, "other:" and a path for one about '
        "other things.",
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
    facts_if_fp16: dict[str, Any] | None = Field(
        default=None,
        description='What a DeepSpeed config with "auto" says under fp16, by field; null where nothing is left open.',
    )
    facts_if_bf16: dict[str, Any] | None = Field(default=None, description="Likewise, under bf16.")
    warnings: tuple[Notice, ...] = ()


def translate(request: TranslateRequest) -> Translated:
    """Write a config of one system for another.

    Raises:
        SpecError: it is no config of that system, or nothing like it can be written for the other.
    """
    fill = None if request.fill is None else request.fill.model_dump(exclude_unset=True)
    try:
        found = engine_translate.translate(request.source, request.to, request.config, fill)
        open_facts = engine_translate.facts_if_filled(request.source, request.config) if fill is None else {}
    except EngineError as error:
        place = ("fill",) if error.code == "fill" else ("config",)
        raise SpecError([from_engine(error, {"config": request.config, "fill": fill}, *place)]) from error
    return Translated(
        config=found.config,
        exact=_shapes(found.exact),
        approximate=_shapes(found.approximate),
        dropped=_shapes(found.dropped),
        assumed=_shapes(found.assumed),
        facts_if_fp16=open_facts.get("fp16"),
        facts_if_bf16=open_facts.get("bf16"),
        warnings=tuple(map(partial(_notice, request), found.warnings)),
    )


def _notice(request: TranslateRequest, remark: Remark) -> Notice:
    """Return a notice; one about the written config has no place in the request."""
    path = () if remark.path is None else reachable({"config": request.config}, ("config", *remark.path))
    return Notice(code=remark.code, message=remark.text, pointer=pointer_to(path))


def _shapes(items: Iterable[Item]) -> tuple[ItemShape, ...]:
    return tuple(map(ItemShape.of, items))
