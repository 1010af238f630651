"""Shapes of callbacks: Keras's class names, and the arguments of their constructors.

SOURCE: `keras.callbacks` of Keras 3.15.1, whose callbacks have no `get_config`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.shape import Bool, Int, Node, Number, OneOf, Spec, Text, tabulate


class MonitorConfig(Spec):
    """What every callback takes that watches a number of the logs."""

    monitor: Text = Field(default="val_loss", examples=["val_loss", "accuracy"])
    mode: Text = Field(default="auto", description='"min", "max", or "auto" to tell by the name.')
    verbose: Bool | Int | Text = Field(default=0, description="Accepted; what a callback does is always an event.")


class EarlyStoppingConfig(MonitorConfig):
    """What `EarlyStopping` takes."""

    min_delta: Number = 0
    patience: Int = 0
    baseline: Number | None = None
    restore_best_weights: Bool = False
    start_from_epoch: Int = 0


class ReduceLROnPlateauConfig(MonitorConfig):
    """What `ReduceLROnPlateau` takes."""

    factor: Number = 0.1
    patience: Int = 10
    min_delta: Number = 1e-4
    cooldown: Int = 0
    min_lr: Number = 0.0


class ModelCheckpointConfig(MonitorConfig):
    """What `ModelCheckpoint` takes."""

    filepath: Text = Field(
        description="Name of the artifact; may have placeholders such as {epoch:02d} and {val_loss:.2f}.",
        examples=["best.keras", "{epoch:02d}.weights.h5"],
    )
    save_best_only: Bool = False
    save_weights_only: Bool = False
    save_freq: Int | Literal["epoch"] = "epoch"
    initial_value_threshold: Number | None = None


class TerminateOnNaNConfig(Spec):
    """What `TerminateOnNaN` takes."""

    raise_error: Bool = Field(default=False, description="Whether the job fails; else it ends as if it were done.")


class EarlyStopping(Node):
    """Ends the training when a number has stopped improving."""

    class_name: Literal["EarlyStopping"]
    config: EarlyStoppingConfig = EarlyStoppingConfig()


class ModelCheckpoint(Node):
    """Saves the model, or its weights, as an artifact of the job."""

    class_name: Literal["ModelCheckpoint"]
    config: ModelCheckpointConfig


class ReduceLROnPlateau(Node):
    """Lowers the learning rate when a number has stopped improving."""

    class_name: Literal["ReduceLROnPlateau"]
    config: ReduceLROnPlateauConfig = ReduceLROnPlateauConfig()


class TerminateOnNaN(Node):
    """Ends the training when the loss is not finite."""

    class_name: Literal["TerminateOnNaN"]
    config: TerminateOnNaNConfig = TerminateOnNaNConfig()


CALLBACKS = tabulate(EarlyStopping, ModelCheckpoint, ReduceLROnPlateau, TerminateOnNaN)
CallbackValue: TypeAlias = Annotated[Node, OneOf("callback", CALLBACKS)]
