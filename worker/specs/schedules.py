"""Shapes of learning rate schedules.

SOURCE: `get_config` of `keras.optimizers.schedules` in TF 2.4.4, tf_keras 2.21 and Keras 3.15.1.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.bounds import MOST_ITEMS, AtMost
from worker.specs.shape import Bool, Node, Number, OneOf, Only, Spec, Text, tabulate

NEWER = Only("tf_keras", "keras3")


class ScheduleConfig(Spec):
    """What every schedule's `get_config()` returns."""

    name: Text | None = None


class ExponentialDecayConfig(ScheduleConfig):
    """What `ExponentialDecay.get_config()` returns."""

    initial_learning_rate: Number = Field(examples=[0.1])
    decay_steps: Number = Field(examples=[1000])
    decay_rate: Number = Field(examples=[0.96])
    staircase: Bool = False


class InverseTimeDecayConfig(ExponentialDecayConfig):
    """What `InverseTimeDecay.get_config()` returns."""


class PiecewiseConstantDecayConfig(ScheduleConfig):
    """What `PiecewiseConstantDecay.get_config()` returns."""

    boundaries: Annotated[tuple[Number, ...], AtMost(MOST_ITEMS)] = Field(
        description="Last step of each value but the last.", examples=[[1000]]
    )
    values: Annotated[tuple[Number, ...], AtMost(MOST_ITEMS)] = Field(
        description="One more than boundaries.", examples=[[0.1, 0.01]]
    )


class PolynomialDecayConfig(ScheduleConfig):
    """What `PolynomialDecay.get_config()` returns."""

    initial_learning_rate: Number = Field(examples=[0.1])
    decay_steps: Number = Field(examples=[1000])
    end_learning_rate: Number = 0.0001
    power: Number = 1.0
    cycle: Bool = False


class CosineDecayConfig(ScheduleConfig):
    """What `CosineDecay.get_config()` returns."""

    initial_learning_rate: Number = Field(examples=[0.1])
    decay_steps: Number = Field(examples=[1000])
    alpha: Number = Field(default=0.0, description="Share of the learning rate that is left in the end.")
    warmup_target: Annotated[Number | None, NEWER] = None
    warmup_steps: Annotated[Number, NEWER] = 0


class CosineDecayRestartsConfig(ScheduleConfig):
    """What `CosineDecayRestarts.get_config()` returns."""

    initial_learning_rate: Number = Field(examples=[0.1])
    first_decay_steps: Number = Field(examples=[1000])
    t_mul: Number = Field(default=2.0, description="How many times longer each period is than the one before.")
    m_mul: Number = Field(default=1.0, description="How many times higher each period starts.")
    alpha: Number = 0.0


class ExponentialDecay(Node):
    """A learning rate that shrinks by a factor per period."""

    class_name: Literal["ExponentialDecay"]
    config: ExponentialDecayConfig


class InverseTimeDecay(Node):
    """A learning rate divided by a number that grows linearly."""

    class_name: Literal["InverseTimeDecay"]
    config: InverseTimeDecayConfig


class PiecewiseConstantDecay(Node):
    """A learning rate that changes at given steps."""

    class_name: Literal["PiecewiseConstantDecay"]
    config: PiecewiseConstantDecayConfig


class PolynomialDecay(Node):
    """A learning rate that falls along a power."""

    class_name: Literal["PolynomialDecay"]
    config: PolynomialDecayConfig


class CosineDecay(Node):
    """A learning rate that falls along half a cosine, after an optional warmup."""

    class_name: Literal["CosineDecay"]
    config: CosineDecayConfig


class CosineDecayRestarts(Node):
    """A learning rate that falls along half a cosine again and again."""

    class_name: Literal["CosineDecayRestarts"]
    config: CosineDecayRestartsConfig


SCHEDULES = tabulate(
    CosineDecay, CosineDecayRestarts, ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay
)
LearningRate: TypeAlias = Annotated[Node | Number, OneOf("schedule", SCHEDULES, "number")]
