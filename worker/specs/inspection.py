"""Requests and answers of `/v1/models/inspect`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from engine.numerics.findings import Finding
from engine.numerics.memory import Bytes
from engine.numerics.plan import LayerPlan
from engine.numerics.scaling import LossScaling
from worker.specs.job import CompileSpec, DataValue, JobSpec
from worker.specs.notices import Notice
from worker.specs.reach import ReachShape
from worker.specs.shape import Config, Spec

Evidence = str | int | float | bool | None


class InspectRequest(JobSpec):
    """A model to look at: a job, of which only the model must be there. What only a training needs is not looked at."""

    policy: Config = Field(
        default=None,
        description="Dtype policy of any line of Keras, quantized ones and DTypePolicyMap included; null is float32.",
        examples=["mixed_float16"],
    )
    compile: CompileSpec | None = Field(  # type: ignore[assignment]  # wider than a job's
        default=None,
        description="Without it, what the model itself says (`compile_config`, `training_config`) is looked at, and a "
        "warning says so; without either, slots are not counted, and the loss is taken to follow the output.",
    )
    data: DataValue | None = Field(  # type: ignore[assignment]  # wider than a job's
        default=None, description="Gives a Sequential model without one its input shape."
    )


class LayerShape(Spec):
    """One layer, once, however often it is called."""

    name: str = Field(examples=["dense"])
    class_name: str = Field(examples=["Dense"])
    policy: str = Field(description="Name of its own policy, or of the model's.", examples=["mixed_float16"])
    input_dtype: str | None = Field(description="In which its (first) input comes; null for an InputLayer.")
    input_dtypes: tuple[str, ...] = Field(description="In which its inputs come.")
    entered_dtypes: tuple[str, ...] = Field(description="In which they reach the computation, after autocasting.")
    compute_dtype: str
    variable_dtype: str = Field(description="Of its variables; what the policy says where it has none.")
    output_dtype: str
    output_shape: tuple[int | None, ...] = Field(description="Batch axis first.")
    parameters: int
    trainable_parameters: int
    calls: int = Field(description="How often it is used; the dtypes and the shape are those of the first use.")

    @classmethod
    def of(cls, plan: LayerPlan) -> LayerShape:
        """Return the row of a layer."""
        first = plan.calls[0]
        return cls(
            name=plan.layer.name or plan.layer.class_name,
            class_name=plan.layer.class_name,
            policy=plan.layer.policy.name,
            input_dtype=first.arriving[0].name if first.arriving else None,
            input_dtypes=tuple(dtype.name for dtype in first.arriving),
            entered_dtypes=tuple(dtype.name for dtype in first.entered),
            compute_dtype=plan.layer.policy.compute.name,
            variable_dtype=plan.variable_dtype.name,
            output_dtype=plan.output_dtype.name,
            output_shape=plan.output_shape,
            parameters=plan.parameters,
            trainable_parameters=plan.trainable_parameters,
            calls=len(plan.calls),
        )


class LossScalingShape(Spec):
    """Whether and how the loss will be scaled, and why."""

    scaled: bool
    kind: Literal["none", "fixed", "dynamic"]
    decided_by: str = Field(description="Stable name of the rule of `compile`.", examples=["policy_name"])
    why: str = Field(description="The rule in words.")
    optimizer: str | None = Field(
        description="Class of what the model trains with; null where it is not known.", examples=["LossScaleOptimizer"]
    )
    loss_scale: float = Field(description="Of the first step; 1 where the loss is not scaled.")
    loss_dtype: str = Field(description="Of the total loss, penalties included.", examples=["float32"])
    loss_scale_as_cast: float | None = Field(description="The scale in the dtype of the loss; null for infinity.")
    overflows: bool = Field(description="Whether the scale is infinite in the dtype of the loss.")
    lost_steps: int = Field(description="Steps that are skipped before a dynamic scale fits into that dtype.")
    checked: bool = Field(description="Whether steps with gradients that are not finite are skipped.")
    growth_steps: int | None = Field(description="Finite steps in a row that make a dynamic scale grow.")
    growth_factor: float | None
    smallest: float | None = Field(description="Where a dynamic scale stops shrinking; null for nowhere.")

    @classmethod
    def of(cls, scaling: LossScaling) -> LossScalingShape:
        """Return the shape of a scaling."""
        dynamic = scaling.kind == "dynamic"
        overflows = scaling.as_cast == float("inf")
        return cls(
            scaled=scaling.kind != "none",
            kind=scaling.kind,
            decided_by=scaling.decided_by,
            why=scaling.why,
            optimizer=scaling.optimizer,
            loss_scale=scaling.loss_scale,
            loss_dtype=scaling.loss_dtype.name,
            loss_scale_as_cast=None if overflows else scaling.as_cast,
            overflows=overflows,
            lost_steps=scaling.lost_steps,
            checked=scaling.rule.checked,
            growth_steps=scaling.rule.growth_interval if dynamic else None,
            growth_factor=scaling.rule.growth_factor if dynamic else None,
            smallest=scaling.rule.floor if dynamic else None,
        )


class BytesShape(Spec):
    """Bytes of a training, in the dtypes in which Keras on an accelerator holds the numbers."""

    weights: int = Field(description="Every variable, in its own dtype.")
    weight_copies: int = Field(description="Copies in the compute dtype that a mixed policy makes for every pass.")
    slots: int = Field(description="What the optimizer keeps; 0 without a known optimizer.")
    gradients: int = Field(description="One of each trainable variable, in its dtype.")
    activations: int = Field(description="The batch and the output of every layer; axes of unknown size count 1.")
    total: int

    @classmethod
    def of(cls, counted: Bytes) -> BytesShape:
        """Return the shape of a count."""
        return cls(
            weights=counted.weights,
            weight_copies=counted.weight_copies,
            slots=counted.slots,
            gradients=counted.gradients,
            activations=counted.activations,
            total=counted.total,
        )


class MemoryShape(BytesShape):
    """Bytes under the model's own policy, and beside it under the others."""

    batch_size: int = Field(description="Rows of a step: `fit.batch_size`.")
    optimizer: str | None = Field(description="Whose slots are counted.", examples=["Adam"])
    policy: str = Field(description="Name of the model's own policy.", examples=["mixed_float16"])
    policies: dict[str, BytesShape] = Field(
        description="By name of the policy; layers that name a dtype of their own keep it under all."
    )


class FindingShape(Spec):
    """Something about the numerics of the model that is worth knowing."""

    code: str = Field(description="Stable snake_case name for programs.", examples=["loss_low_precision"])
    severity: Literal["error", "warning", "info"] = Field(
        description="An error breaks training, a warning may, the rest is good to know."
    )
    layer: str | None = Field(description="Null for the model as a whole.")
    pointer: str = Field(description="JSON pointer to the layer in the request; empty for the whole of it.")
    why: str
    fix: str
    source: str = Field(description="Paper, issue or symbol of the original that tells of it.")
    evidence: dict[str, Evidence]

    @classmethod
    def of(cls, finding: Finding, pointer: str) -> FindingShape:
        """Return the shape of a finding."""
        return cls(
            code=finding.code,
            severity=finding.severity,
            layer=finding.layer,
            pointer=pointer,
            why=finding.why,
            fix=finding.fix,
            source=finding.source,
            evidence=dict(finding.evidence),
        )


class Inspection(Spec):
    """What a model will do, found out before it runs."""

    object: Literal["model.inspection"] = "model.inspection"
    dialect: str = Field(description="Line of Keras whose rules hold.", examples=["tf2.4", "tf_keras", "keras3"])
    parameters: int
    trainable_parameters: int
    layers: tuple[LayerShape, ...]
    loss_scaling: LossScalingShape
    memory: MemoryShape
    policy_reach: ReachShape = Field(description="Which layers follow the policy.")
    lint: tuple[FindingShape, ...] = Field(description="Grave ones first.")
    warnings: tuple[Notice, ...] = ()
