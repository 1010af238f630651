"""Shapes of dtype policies and loss scales, as `serialize` of each dialect prints them.

SOURCE: `tensorflow.keras.mixed_precision` of TF 2.4 (`policy.py`, `loss_scale.py`), `keras.DTypePolicy` of Keras 3.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.shape import Config, Int, Node, Number, OneOf, Spec, Text, tabulate


class FixedLossScaleConfig(Spec):
    """What `FixedLossScale.get_config()` returns."""

    loss_scale_value: Number = Field(description="The loss scale; at least 1.", examples=[128.0])


class DynamicLossScaleConfig(Spec):
    """What `DynamicLossScale.get_config()` returns."""

    initial_loss_scale: Number = Field(default=32768.0, description="Loss scale of the first step; at least 1.")
    increment_period: Int = Field(default=2000, description="Finite steps in a row before the scale grows.")
    multiplier: Number = Field(default=2.0, description="Growth factor; a step that is not finite divides by it.")


class FixedLossScale(Node):
    """A loss scale that never changes and never skips a step."""

    class_name: Literal["FixedLossScale"]
    config: FixedLossScaleConfig


class DynamicLossScale(Node):
    """A loss scale that grows after finite steps, and skips a step and shrinks when gradients are not finite."""

    class_name: Literal["DynamicLossScale"]
    config: DynamicLossScaleConfig


LOSS_SCALES = tabulate(FixedLossScale, DynamicLossScale)
LossScaleValue: TypeAlias = Annotated[
    Node | str | float | None, OneOf("loss scale", LOSS_SCALES, "name", "number", "null")
]


class PolicyConfig(Spec):
    """What `Policy.get_config()` (TF 2.4, tf_keras) and `DTypePolicy.get_config()` (Keras 3) return."""

    name: Text = Field(description="Name of the policy.", examples=["mixed_float16", "bfloat16", "float32"])


class PolicyV1Config(PolicyConfig):
    """What `experimental.Policy.get_config()` of TF 2.4 returns; `loss_scale` is absent when it is the default."""

    loss_scale: LossScaleValue = Field(default="auto", description="Loss scale of the policy, null for none.")


class Policy(Node):
    """Dtype policy of TF 2.4 or tf_keras: compute dtype and variable dtype, by name."""

    class_name: Literal["Policy"]
    config: PolicyConfig


class PolicyV1(Node):
    """Experimental dtype policy of TF 2.4, which carries a loss scale."""

    class_name: Literal["PolicyV1"]
    config: PolicyV1Config


class DTypePolicy(Node):
    """Dtype policy of Keras 3."""

    class_name: Literal["DTypePolicy"]
    config: PolicyConfig


class FloatDTypePolicy(Node):
    """An older name of `DTypePolicy`."""

    class_name: Literal["FloatDTypePolicy"]
    config: PolicyConfig


class QuantizedPolicyConfig(Spec):
    """What `QuantizedDTypePolicy.get_config()` returns."""

    mode: Text = Field(description="How products are computed; training knows float8.", examples=["float8"])
    source_name: Text | None = Field(
        default=None, description="Policy beneath; null is float32.", examples=["mixed_bfloat16"]
    )


class Float8PolicyConfig(QuantizedPolicyConfig):
    """What `QuantizedFloat8DTypePolicy.get_config()` returns."""

    amax_history_length: Int = Field(
        default=1024, description="Steps back for which the largest magnitude is kept; at least 1."
    )


class QuantizedDTypePolicy(Node):
    """Dtype policy of Keras 3 for layers with quantized weights."""

    class_name: Literal["QuantizedDTypePolicy"]
    config: QuantizedPolicyConfig


class QuantizedFloat8DTypePolicy(Node):
    """Dtype policy of Keras 3: Dense and EinsumDense multiply in float8, all else follows the policy beneath."""

    class_name: Literal["QuantizedFloat8DTypePolicy"]
    config: Float8PolicyConfig


class PolicyMapConfig(Spec):
    """What `DTypePolicyMap.get_config()` returns."""

    default_policy: Config = Field(
        default=None, description="Policy of layers that no path matches; null is float32.", examples=["mixed_bfloat16"]
    )
    policy_map: Config = Field(
        description="Policy by path, or by a pattern of paths: `model/layer` in a Sequential model, else `layer`.",
        examples=[{"small/d1": {"class_name": "DTypePolicy", "config": {"name": "float32"}}}],
    )


class DTypePolicyMap(Node):
    """Dtype policies of Keras 3 by the path of the layer."""

    class_name: Literal["DTypePolicyMap"]
    config: PolicyMapConfig


POLICIES = tabulate(
    Policy, PolicyV1, DTypePolicy, FloatDTypePolicy, QuantizedDTypePolicy, QuantizedFloat8DTypePolicy, DTypePolicyMap
)
#: The name of a policy, the name of a dtype, null for the default, or a serialized policy of any dialect.
PolicyValue: TypeAlias = Annotated[Node | str | None, OneOf("policy", POLICIES, "name", "null")]
