"""Shapes of weight initializers."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.shape import Int, Node, Number, OneOf, Only, Spec, Text, Unset, tabulate

Seed: TypeAlias = Annotated[
    Int | None, Field(description="Seed of this initializer alone; null derives it from the job's seed.")
]


class NoConfig(Spec):
    """A config without keys."""


class ConstantConfig(Spec):
    """What `Constant.get_config()` returns."""

    value: Number = 0.0


class RandomUniformConfig(Spec):
    """What `RandomUniform.get_config()` returns."""

    minval: Number = -0.05
    maxval: Number = 0.05
    seed: Seed = None


class RandomNormalConfig(Spec):
    """What `RandomNormal.get_config()` and `TruncatedNormal.get_config()` return."""

    mean: Number = 0.0
    stddev: Number = 0.05
    seed: Seed = None


class FanConfig(Spec):
    """What the Glorot, He and Lecun initializers return; Keras 3 prints two axes more, null when unset."""

    seed: Seed = None
    input_axes: Annotated[Unset, Only("keras3")] = None
    output_axes: Annotated[Unset, Only("keras3")] = None


class VarianceScalingConfig(FanConfig):
    """What `VarianceScaling.get_config()` returns."""

    scale: Number = 1.0
    mode: Text = Field(default="fan_in", examples=["fan_in", "fan_out", "fan_avg"])
    distribution: Text = Field(default="truncated_normal", examples=["truncated_normal", "normal", "uniform"])


class GainSeedConfig(Spec):
    """What `Orthogonal.get_config()` returns."""

    gain: Number = 1.0
    seed: Seed = None


class GainConfig(Spec):
    """What `Identity.get_config()` returns."""

    gain: Number = 1.0


class Zeros(Node):
    """All zero."""

    class_name: Literal["Zeros"]
    config: NoConfig = NoConfig()


class Ones(Node):
    """All one."""

    class_name: Literal["Ones"]
    config: NoConfig = NoConfig()


class Constant(Node):
    """All the same value."""

    class_name: Literal["Constant"]
    config: ConstantConfig


class RandomUniform(Node):
    """Uniform between two bounds."""

    class_name: Literal["RandomUniform"]
    config: RandomUniformConfig


class RandomNormal(Node):
    """Normal."""

    class_name: Literal["RandomNormal"]
    config: RandomNormalConfig


class TruncatedNormal(Node):
    """Normal, redrawn beyond two standard deviations."""

    class_name: Literal["TruncatedNormal"]
    config: RandomNormalConfig


class VarianceScaling(Node):
    """Variance chosen by the fans of the weight."""

    class_name: Literal["VarianceScaling"]
    config: VarianceScalingConfig


class GlorotUniform(Node):
    """Glorot, uniform: the default of kernels."""

    class_name: Literal["GlorotUniform"]
    config: FanConfig


class GlorotNormal(Node):
    """Glorot, truncated normal."""

    class_name: Literal["GlorotNormal"]
    config: FanConfig


class HeUniform(Node):
    """He, uniform."""

    class_name: Literal["HeUniform"]
    config: FanConfig


class HeNormal(Node):
    """He, truncated normal."""

    class_name: Literal["HeNormal"]
    config: FanConfig


class LecunUniform(Node):
    """Lecun, uniform."""

    class_name: Literal["LecunUniform"]
    config: FanConfig


class LecunNormal(Node):
    """Lecun, truncated normal."""

    class_name: Literal["LecunNormal"]
    config: FanConfig


class Orthogonal(Node):
    """A random orthogonal matrix."""

    class_name: Literal["Orthogonal"]
    config: GainSeedConfig


class Identity(Node):
    """The identity matrix."""

    class_name: Literal["Identity"]
    config: GainConfig


INITIALIZERS = tabulate(
    GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal, VarianceScaling,
    RandomUniform, RandomNormal, TruncatedNormal, Zeros, Ones, Constant, Orthogonal, Identity,
)  # fmt: skip
InitializerValue: TypeAlias = Annotated[Node | str, OneOf("initializer", INITIALIZERS, "name")]
