"""Shapes of optimizers, and of the loss-scale wrapper in each spelling it ever had.

SOURCE: `get_config` of TF 2.4.4 (`OptimizerV2`, `LossScaleOptimizer`, `LossScaleOptimizerV1`), tf_keras 2.21
(`LossScaleOptimizerV3`) and Keras 3.15.1.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.policy import LossScaleValue
from worker.specs.schedules import LearningRate
from worker.specs.shape import Bool, Int, Node, Number, OneOf, Only, Spec, Text, tabulate

TF24 = Only("tf2.4")
TF_KERAS = Only("tf_keras")
KERAS3 = Only("keras3")
NEWER = Only("tf_keras", "keras3")
#: TF 2.4 prints the clipping arguments only when they are set.
CLIPPING = Only("tf_keras", "keras3")


class OptimizerConfig(Spec):
    """What every optimizer's `get_config()` returns."""

    name: Text | None = None
    learning_rate: LearningRate = Field(default=0.001, examples=[0.001])
    decay: Annotated[Number, TF24] = Field(default=0.0, description="The learning rate shrinks as 1/(1 + decay * t).")
    weight_decay: Annotated[Number | None, NEWER] = None
    clipnorm: Annotated[Number | None, CLIPPING] = None
    global_clipnorm: Annotated[Number | None, CLIPPING] = None
    clipvalue: Annotated[Number | None, CLIPPING] = None
    use_ema: Annotated[Bool, NEWER] = False
    ema_momentum: Annotated[Number, NEWER] = 0.99
    ema_overwrite_frequency: Annotated[Int | None, NEWER] = None
    jit_compile: Annotated[Bool, TF_KERAS] = False
    is_legacy_optimizer: Annotated[Bool, TF_KERAS] = False
    loss_scale_factor: Annotated[Number | None, KERAS3] = None
    gradient_accumulation_steps: Annotated[Int | None, KERAS3] = None
    update_rounding: Annotated[Literal["nearest", "stochastic", "kahan"], Only()] = Field(
        default="nearest",
        description="How float16 and bfloat16 variables take updates. Not Keras's: `nearest` is what Keras does.",
    )
    update_seed: Annotated[Int, Only()] = Field(default=0, description="Seed of stochastic rounding. Not Keras's.")


class SGDConfig(OptimizerConfig):
    """What `SGD.get_config()` returns."""

    learning_rate: LearningRate = Field(default=0.01, examples=[0.01])
    momentum: Number = 0.0
    nesterov: Bool = False


class MomentsConfig(OptimizerConfig):
    """What the optimizers with two moments have in common."""

    beta_1: Number = 0.9
    beta_2: Number = 0.999
    epsilon: Number = 1e-7


class AdamConfig(MomentsConfig):
    """What `Adam.get_config()` returns."""

    amsgrad: Bool = False


class AdamWConfig(AdamConfig):
    """What `AdamW.get_config()` returns."""

    weight_decay: Number = 0.004


class AdamaxConfig(MomentsConfig):
    """What `Adamax.get_config()` returns."""


class NadamConfig(MomentsConfig):
    """What `Nadam.get_config()` returns."""

    decay: Annotated[Number, TF24] = Field(default=0.004, description="How fast the momentum warms up.")


class LambConfig(MomentsConfig):
    """What `Lamb.get_config()` returns."""


class LionConfig(OptimizerConfig):
    """What `Lion.get_config()` returns."""

    beta_1: Number = 0.9
    beta_2: Number = 0.99


class RMSpropConfig(OptimizerConfig):
    """What `RMSprop.get_config()` returns."""

    rho: Number = 0.9
    momentum: Number = 0.0
    epsilon: Number = 1e-7
    centered: Bool = False


class AdagradConfig(OptimizerConfig):
    """What `Adagrad.get_config()` returns."""

    initial_accumulator_value: Number = 0.1
    epsilon: Number = 1e-7


class AdadeltaConfig(OptimizerConfig):
    """What `Adadelta.get_config()` returns."""

    rho: Number = 0.95
    epsilon: Number = 1e-7


class AdafactorConfig(OptimizerConfig):
    """What `Adafactor.get_config()` returns."""

    beta_2_decay: Number = -0.8
    epsilon_1: Number = 1e-30
    epsilon_2: Number = 0.001
    clip_threshold: Number = 1.0
    relative_step: Bool = True


class FtrlConfig(OptimizerConfig):
    """What `Ftrl.get_config()` returns."""

    learning_rate_power: Number = -0.5
    initial_accumulator_value: Number = 0.1
    l1_regularization_strength: Number = 0.0
    l2_regularization_strength: Number = 0.0
    l2_shrinkage_regularization_strength: Number = 0.0
    beta: Number = 0.0


class SGD(Node):
    """Gradient descent with momentum."""

    class_name: Literal["SGD"]
    config: SGDConfig = SGDConfig()


class Adam(Node):
    """Adam."""

    class_name: Literal["Adam"]
    config: AdamConfig = AdamConfig()


class AdamW(Node):
    """Adam with weight decay."""

    class_name: Literal["AdamW"]
    config: AdamWConfig = AdamWConfig()


class Adamax(Node):
    """Adam by the largest gradient."""

    class_name: Literal["Adamax"]
    config: AdamaxConfig = AdamaxConfig()


class Nadam(Node):
    """Adam with Nesterov momentum."""

    class_name: Literal["Nadam"]
    config: NadamConfig = NadamConfig()


class Lamb(Node):
    """Adam with steps relative to each variable."""

    class_name: Literal["Lamb"]
    config: LambConfig = LambConfig()


class Lion(Node):
    """Signs of a momentum."""

    class_name: Literal["Lion"]
    config: LionConfig = LionConfig()


class RMSprop(Node):
    """Gradients divided by the root of their mean square."""

    class_name: Literal["RMSprop"]
    config: RMSpropConfig = RMSpropConfig()


class Adagrad(Node):
    """Gradients divided by the root of the sum of their squares."""

    class_name: Literal["Adagrad"]
    config: AdagradConfig = AdagradConfig()


class Adadelta(Node):
    """Steps as long as earlier steps were."""

    class_name: Literal["Adadelta"]
    config: AdadeltaConfig = AdadeltaConfig()


class Adafactor(Node):
    """Adaptive steps with little memory."""

    class_name: Literal["Adafactor"]
    config: AdafactorConfig = AdafactorConfig()


class Ftrl(Node):
    """Follow the regularized leader."""

    class_name: Literal["Ftrl"]
    config: FtrlConfig = FtrlConfig()


INNER = tabulate(SGD, Adam, AdamW, Adamax, Nadam, Lamb, Lion, RMSprop, Adagrad, Adadelta, Adafactor, Ftrl)
InnerOptimizer: TypeAlias = Annotated[Node, OneOf("optimizer", INNER)]


class LossScaleOptimizerConfig(Spec):
    """What `LossScaleOptimizer.get_config()` returns: TF 2.4 and tf_keras print `dynamic`, Keras 3 a name.

    TF 2.3 and the experimental class wrote `optimizer` and `loss_scale` instead.
    """

    name: Annotated[Text | None, KERAS3] = None
    inner_optimizer: InnerOptimizer | None = None
    dynamic: Annotated[Bool, Only("tf2.4", "tf_keras")] = True
    initial_scale: Number | None = Field(default=None, description="Loss scale of the first step.", examples=[32768.0])
    dynamic_growth_steps: Int | None = Field(default=None, description="Finite steps before the scale doubles.")
    optimizer: Annotated[InnerOptimizer | None, Only()] = None
    loss_scale: Annotated[LossScaleValue, Only()] = None


class LossScaleOptimizer(Node):
    """An optimizer whose loss is scaled before the gradients, which are unscaled after."""

    class_name: Literal["LossScaleOptimizer"]
    config: LossScaleOptimizerConfig


class LossScaleOptimizerV1(Node):
    """The experimental wrapper of TF 2.4."""

    class_name: Literal["LossScaleOptimizerV1"]
    config: LossScaleOptimizerConfig


class LossScaleOptimizerV3(Node):
    """The wrapper of tf_keras for its newer optimizers."""

    class_name: Literal["LossScaleOptimizerV3"]
    config: LossScaleOptimizerConfig


OPTIMIZERS = {**INNER, **tabulate(LossScaleOptimizer, LossScaleOptimizerV1, LossScaleOptimizerV3)}
OptimizerValue: TypeAlias = Annotated[Node | str, OneOf("optimizer", OPTIMIZERS, "name")]
