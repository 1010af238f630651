"""The shape of a training job: three Keras objects and data, under Keras's own names."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Discriminator, Field, StringConstraints, Tag, model_validator
from pydantic_core import PydanticCustomError

from engine import optimizers
from engine.policy_scope import Scope
from worker.specs.bounds import MOST_CLASSES, MOST_ITEMS, AtMost
from worker.specs.callbacks import CallbackValue
from worker.specs.losses import LossValue
from worker.specs.metrics import MetricsValue
from worker.specs.model import ModelValue
from worker.specs.optimizers import OptimizerValue
from worker.specs.policy import PolicyValue
from worker.specs.shape import Anything, Bool, Int, Number, Spec, Text
from worker.specs.webhooks import WebhookSpec

MAX_SEED = 2**31 - 1
MAX_PRIORITY = 100
ClassNumber: TypeAlias = Annotated[Text, StringConstraints(pattern=r"^\d{1,15}$")]


class CompileSpec(Spec):
    """What `model.get_compile_config()` prints."""

    optimizer: OptimizerValue = Field(
        default=optimizers.DEFAULT,
        description="Name or serialized optimizer; without one Keras takes rmsprop, and a warning says so.",
        examples=["adam"],
    )
    loss: LossValue = Field(
        description="Name or serialized loss; of several outputs one for all, a list, or a dict by output name.",
        examples=["sparse_categorical_crossentropy", {"digit": "sparse_categorical_crossentropy", "image": None}],
    )
    metrics: MetricsValue | None = Field(
        default=None,
        description="Of several outputs: a list with one entry an output, or a dict by output name.",
        examples=[["accuracy"], {"digit": ["accuracy"]}],
    )
    loss_weights: Anything = Field(
        default=None,
        json_schema_extra={"anyOf": [{"type": "array"}, {"type": "object"}, {"type": "number"}, {"type": "null"}]},
        description="What each loss counts in the total: a list, or a dict by output name.",
        examples=[[1.0, 0.5], {"digit": 1.0, "image": 0.5}],
    )
    weighted_metrics: MetricsValue | None = Field(
        default=None, description="As `metrics`; these count what the sample and class weights say."
    )
    run_eagerly: Bool | None = Field(default=None, description="Accepted; every run is eager.")
    steps_per_execution: Literal[1] | None = 1
    jit_compile: Bool | Text | None = Field(default=None, description="Accepted; nothing is compiled.")
    auto_scale_loss: Bool = Field(default=True, description="Whether `mixed_float16` wraps the optimizer by itself.")


class FitSpec(Spec):
    """Arguments of `model.fit`."""

    batch_size: Int | None = Field(default=32, description="Samples of one step.", examples=[32])
    epochs: Int = Field(default=1, description="Passes over the data.", examples=[5])
    validation_split: Number = Field(default=0.0, description="Share of the data, its end, kept for validation.")
    shuffle: Bool = Field(default=True, description="Whether each epoch has an order of its own, drawn from the seed.")
    callbacks: Annotated[tuple[CallbackValue, ...], AtMost(16)] = Field(
        default=(), description="Keras's callbacks, called in this order; their state is part of every checkpoint."
    )
    class_weight: Annotated[dict[ClassNumber, Number], AtMost(MOST_CLASSES)] | None = Field(
        default=None,
        description="What the rows of a class count, by class number; others count 1. For models of one output.",
        examples=[{"0": 1.0, "1": 2.5}],
    )


class BuiltinData(Spec):
    """A built-in data set."""

    dataset: Text = Field(description="Name of a built-in data set; see GET /v1/datasets.", examples=["digits"])


_ROWS: dict[str, Any] = {"anyOf": [{"type": "array", "items": {}}, {"type": "object"}]}


class InlineData(Spec):
    """Data inside the job: nested lists of numbers, one entry a sample; of several inputs or outputs an object."""

    x: Anything = Field(json_schema_extra=_ROWS, examples=[[[0.0, 1.0], [1.0, 0.0]], {"width": [[1.0], [2.0]]}])
    y: Anything = Field(json_schema_extra=_ROWS, examples=[[0, 1], {"digit": [0, 1]}])
    sample_weight: Anything = Field(
        default=None, json_schema_extra=_ROWS, description="What each sample counts.", examples=[[1.0, 0.5]]
    )


ColumnNames: TypeAlias = Text | Annotated[tuple[Text, ...], Field(min_length=1), AtMost(MOST_CLASSES)]
Columns: TypeAlias = ColumnNames | Annotated[dict[Text, ColumnNames], Field(min_length=1), AtMost(MOST_ITEMS)]


class FileData(Spec):
    """An uploaded file (see POST /v1/files), and which of its arrays or columns are inputs and labels."""

    file: Text = Field(description="Id of an uploaded file.", examples=["file-0123456789abcdef"])
    x: Columns | None = Field(
        default=None,
        description="Inputs: the name of an array, or names of columns that are put beside each other; of several "
        "inputs an object of them by input name. Null takes `x`, or every column of a table but the labels.",
        examples=["x", ["width", "height"], {"image": "pixels", "size": ["width", "height"]}],
    )
    y: Columns | None = Field(
        default=None,
        description="Labels, likewise. Null takes `y`, `label`, `labels` or `target`, or the last column of a table.",
        examples=["y"],
    )
    sample_weight: Columns | None = Field(
        default=None, description="What each sample counts: the name of a column or an array. Null: all count 1."
    )
    sha256: Text | None = Field(
        default=None,
        description="Of the file's content. The service fills it in; a job that names another is refused.",
    )


def _kind_of_data(value: object) -> str | None:
    """Choose by the keys, so that a misspelt neighbour is reported where it stands."""
    if isinstance(value, BuiltinData | FileData | InlineData):
        return type(value).__name__
    if not isinstance(value, dict):
        return None
    kinds = {"file": "FileData", "dataset": "BuiltinData", "x": "InlineData", "y": "InlineData"}
    return next((kind for key, kind in kinds.items() if key in value), None)


DataValue: TypeAlias = Annotated[
    Annotated[BuiltinData, Tag("BuiltinData")]
    | Annotated[FileData, Tag("FileData")]
    | Annotated[InlineData, Tag("InlineData")],
    Discriminator(_kind_of_data, custom_error_type="unknown_data", custom_error_message="unknown data"),
]
MetadataKey: TypeAlias = Annotated[Text, StringConstraints(max_length=64)]
MetadataText: TypeAlias = Annotated[Text, StringConstraints(max_length=512)]
Metadata: TypeAlias = Annotated[dict[MetadataKey, MetadataText], AtMost(16)]


EXAMPLE: dict[str, Any] = {
    "model": {
        "class_name": "Sequential",
        "config": {
            "name": "digits",
            "layers": [
                {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 64], "name": "pixels"}},
                {"class_name": "Dense", "config": {"name": "hidden", "units": 64, "activation": "relu"}},
                {
                    "class_name": "Dense",
                    "config": {"name": "digit", "units": 10, "activation": "softmax", "dtype": "float32"},
                },
            ],
        },
    },
    "policy": "mixed_float16",
    "compile": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
    "fit": {"batch_size": 32, "epochs": 5, "validation_split": 0.1},
    "data": {"dataset": "digits"},
    "seed": 0,
}


class JobSpec(Spec):
    """A training job."""

    model_config = ConfigDict(defer_build=True, json_schema_extra={"examples": [EXAMPLE]})

    model: ModelValue = Field(description="What `model.to_json()` prints.")
    policy: PolicyValue = Field(
        default=None,
        description="Dtype policy: a name, or a serialized policy of any dialect. Without it layers keep the dtypes "
        "that they name, and the others are float32.",
        examples=["mixed_float16"],
    )
    policy_scope: Scope = Field(
        default="auto",
        description="Which layers follow `policy`. Keras writes a dtype into every layer of an exported model: `auto` "
        "replaces that dtype, and layers that name another one keep it; `all` replaces every layer's dtype; `unset` "
        "lets a layer's own dtype override the policy, as Keras does. `policy_reach` in the answer says what became "
        "of each.",
    )
    compile: CompileSpec
    fit: FitSpec = FitSpec()
    data: DataValue
    seed: Annotated[Int, Field(ge=0, le=MAX_SEED)] = Field(default=0, description="Fixes every random number.")
    priority: Annotated[Int, Field(ge=-MAX_PRIORITY, le=MAX_PRIORITY)] = Field(
        default=0, description="Higher goes first; each level counts as a minute of waiting, so no job waits forever."
    )
    from_checkpoint: Annotated[Text, StringConstraints(max_length=64)] | None = Field(
        default=None,
        description="Id of a checkpoint to begin with, or of a job for its newest: its weights, and the optimizer's "
        "state too if model, policy and optimizer are the same.",
    )
    webhooks: Annotated[tuple[WebhookSpec, ...], AtMost(5)] = Field(
        default=(), description="Who is told when the job ends, or when a number of it passes a bound."
    )
    suffix: Annotated[Text, StringConstraints(max_length=64)] | None = Field(
        default=None, description="Up to 64 characters to tell jobs apart."
    )
    metadata: Metadata = Field(default_factory=dict, description="Up to 16 pairs of yours.")

    @model_validator(mode="before")
    @classmethod
    def _is_no_model(cls, value: Any) -> Any:
        """Refuse an exported model, whose every key would be a fault of its own."""
        exported = isinstance(value, dict) and "model" not in value and {"class_name", "config"} <= value.keys()
        if exported:
            raise PydanticCustomError("bare_model", "must be a job")
        return value
