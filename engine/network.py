"""A network: what a model config means, before any array exists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from engine.configured import split_serialized
from engine.conventions import Conventions
from engine.dtypes import DType
from engine.errors import InvalidType, Unsupported
from engine.graph import Graph, Outline
from engine.layers import InputLayer, Layer, Shape
from engine.model_configs import functional, sequential
from engine.model_writing import written
from engine.nested import connected
from engine.policy import Policy
from engine.run import Run
from engine.tape import Array, Tensor, rounded
from engine.weights import WeightSpec

_FUNCTIONAL = ("Functional", "Model")


@dataclass(frozen=True)
class Network:
    """Layers, how they are connected, and the policy of the whole.

    Attributes:
        name: of the model.
        class_name: "Sequential" or "Functional".
        outline: what the config says of them; nested models are single layers there.
        graph: the calls, those of nested models among them.
        policy: of the model; it decides whether an optimizer is wrapped.
        conventions: the line of Keras it behaves like.
    """

    name: str
    class_name: str
    outline: Outline
    graph: Graph
    policy: Policy
    conventions: Conventions

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer once, in the order of first use; those of nested models under names such as "encoder/dense"."""
        return tuple({id(call.layer): call.layer for call in self.graph.calls}.values())

    @cached_property
    def weight_specs(self) -> tuple[WeightSpec, ...]:
        """Every variable, layer by layer, in Keras's ``weights`` order."""
        return self.graph.weights

    @cached_property
    def trainable_specs(self) -> tuple[WeightSpec, ...]:
        """The variables that the optimizer updates."""
        return tuple(spec for spec in self.weight_specs if spec.trainable)

    @property
    def inputs(self) -> tuple[InputLayer, ...]:
        """Where data enters."""
        return tuple(self.graph.calls[index].layer for index in self.graph.inputs)  # type: ignore[misc]

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the inputs, batch axis first."""
        return tuple(self.graph.calls[index].output_shape for index in self.graph.inputs)

    @cached_property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Shapes of the outputs, batch axis first."""
        return tuple(self.graph.shape(output) for output in self.graph.outputs)

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs: those of the layers they come from; a second output of one layer is "name_1"."""
        names: dict[str, None] = {}
        taken: Counter[str] = Counter()
        for name, *_ in self.outline.outputs:
            given = f"{name}_{taken[name]}" if name in names else name
            names[given] = None
            taken.update({given, given.rpartition("_")[0]})
        return tuple(names)

    @property
    def output_dtypes(self) -> tuple[DType, ...]:
        """Dtypes of the outputs."""
        return tuple(self.graph.calls[call].layer.policy.compute for call, _ in self.graph.outputs)

    def count_params(self) -> int:
        """Return the number of parameters; nothing is allocated."""
        return sum(spec.size for spec in self.weight_specs)

    def initial_arrays(self, seed: int) -> dict[str, Array]:
        """Return the first value of every variable by path; each has a stream of its own, so order does not matter."""
        arrays = {}
        for index, spec in enumerate(self.weight_specs):
            generator = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, index, 1]))
            values = spec.initializer(spec.shape, generator).astype(spec.dtype.storage)
            arrays[spec.path] = rounded(np.asarray(values, order="C"), spec.dtype)
        return arrays

    def forward(self, run: Run, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs of one pass."""
        entered = zip(self.inputs, inputs, strict=True)
        return self.graph.run(run, [layer(run, run.given(layer.name or "", tensor)) for layer, tensor in entered])

    def penalties(self, run: Run) -> list[Tensor]:
        """Return the weight penalties (in the variable dtype), followed by what layers added during the pass."""
        line = self.conventions
        weights = [
            spec.regularizer(run.variables[spec.path], line) for spec in self.penalized_specs if spec.regularizer
        ]
        return [*weights, *run.losses]

    @cached_property
    def penalized_specs(self) -> tuple[WeightSpec, ...]:
        """The variables with a penalty that counts: of frozen ones, none does in Keras 3."""
        specs = self.trainable_specs if self.conventions.keras3 else self.weight_specs
        return tuple(spec for spec in specs if spec.regularizer is not None)

    def get_config(self) -> dict[str, Any]:
        """Return ``{"class_name", "config"}``, in the spelling of the network's line of Keras."""
        config = written(self.class_name, self.name, self.outline, self.graph, self.conventions)
        short = {"class_name": self.class_name, "config": config}
        if not self.conventions.keras3:
            return short
        # Keras 3 exports Sequential alone; Functional is found where it lives.
        module = "keras" if self.class_name == "Sequential" else "keras.src.models.functional"
        return {
            "module": module,
            **short,
            "registered_name": self.class_name if self.class_name != "Sequential" else None,
        }


def read_network(
    config: Mapping[str, Any], policy: Policy, conventions: Conventions, input_shape: Shape | None = None
) -> Network:
    """Return the network that a serialized model describes.

    Args:
        config: what ``model.to_json()`` holds: ``{"class_name": "Sequential" | "Functional" | "Model", "config"}``.
        policy: the model's; also of layers that name none.
        conventions: the line of Keras it behaves like.
        input_shape: of a Sequential model that gives none itself; batch axis included.

    Raises:
        EngineError: with the path to what is wrong, relative to the config.
    """
    class_name, inner = split_serialized("model", config)
    name = inner.get("name") or class_name.lower()
    if not isinstance(name, str):
        raise InvalidType(f"The name of a model must be a string, got {name!r}.", path=("config", "name"))
    if class_name == "Sequential":
        outline = sequential(inner, conventions, input_shape=input_shape)
    elif class_name in _FUNCTIONAL:
        class_name = "Functional"
        outline = functional(inner, conventions)
    else:
        message = f"Unknown model class: {class_name!r}. Accepted are: Sequential, Functional, Model."
        raise Unsupported(message, code="unknown_model", path=("class_name",))
    outline = outline.placed(policy, f"{name}/" if class_name == "Sequential" else "")
    return Network(
        name,
        class_name,
        outline,
        connected(outline, trainable=inner.get("trainable", True) is not False),
        policy,
        conventions,
    )
