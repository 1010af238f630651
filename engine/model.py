"""The model as a Keras user knows it: compile, fit, evaluate, predict.

Everything is done by :class:`~engine.network.Network` and :class:`~engine.training.Trainer`; this class only holds
the state between calls, so that a Keras user needs no manual.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine import callbacks as callbacks_of
from engine import conventions as lines
from engine import optimizers
from engine.callbacks import ModelCheckpoint
from engine.compilation import Compilation, compiled
from engine.conventions import Conventions
from engine.crew import Saving
from engine.dtypes import DType
from engine.errors import InvalidType, InvalidValue, ShapeMismatch
from engine.evaluation import Evaluation, predict
from engine.layers import Layer, Shape
from engine.network import Network, read_network
from engine.observation import NOBODY, Observer
from engine.policy import Policy
from engine.policy_scope import Scope, scoped
from engine.rounding import to_edge
from engine.rows import Data
from engine.scaler import UNSCALED
from engine.serialization.any_policy import read_policy
from engine.state import TrainState
from engine.tape import Array, rounded
from engine.training import EpochRecord, FitOptions, Trainer
from engine.weights import WeightSpec

MOST_ROWS = 2**31
"""More than any batch has: all rows are one step."""


def model_from_config(
    config: Mapping[str, Any],
    policy: Any = None,
    conventions: Conventions | None = None,
    input_shape: Shape | None = None,
    policy_scope: Scope = "auto",
) -> Model:
    """Return the model that a serialized config describes. Source: ``keras.models.model_from_json``.

    Args:
        config: Sequential or Functional, Keras 2 or 3.
        policy: of the model and of the layers that follow it: a Policy, a name, a serialized policy, or None for
            float32 where a layer names no dtype. A PolicyV1 brings its loss scale; a DTypePolicyMap gives each layer
            the policy of its path.
        conventions: the line of Keras it behaves like; by default the one that wrote the config, else TF 2.4.
        input_shape: of a Sequential model that gives none itself; batch axis included.
        policy_scope: which layers follow the policy, see :mod:`engine.policy_scope`. Without a policy layers keep the
            dtypes that they name.

    Raises:
        EngineError: with the path to what is wrong, relative to the config; a fault of the policy's has code
            "invalid_policy" or its own and no path.
    """
    if not isinstance(config, Mapping):
        raise InvalidType(f'A model must be {{"class_name": ..., "config": {{...}}}}, got {type(config).__name__}.')
    line = conventions or lines.of(config)
    effective = "unset" if policy is None and policy_scope == "auto" else policy_scope
    return Model(read_network(scoped(config, effective).config, read_policy(policy), line, input_shape))


@dataclass
class History:
    """What ``fit`` returns: ``history[name]`` has one value per epoch."""

    history: dict[str, list[float]] = field(default_factory=dict)

    def append(self, logs: Mapping[str, float]) -> None:
        """Add an epoch."""
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)


class Model:
    """A network with a compilation and, from the first use on, a state.

    Attributes:
        network: layers and connections.
        seed: of initial weights and, unless ``fit`` gives another, of shuffles and random layers.
    """

    def __init__(self, network: Network, seed: int = 0) -> None:
        self.network = network
        self.seed = seed
        self._compilation: Compilation | None = None
        self._state: TrainState | None = None
        self._arrays: dict[str, Array] | None = None

    def compile(
        self,
        optimizer: Any = optimizers.DEFAULT,
        loss: Any = None,
        metrics: Any = (),
        *,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        auto_scale_loss: bool = True,
    ) -> None:
        """Settle losses, metrics and optimizer; see :func:`engine.compilation.compiled`."""
        self._compilation = compiled(
            self.network,
            optimizer,
            loss,
            metrics,
            loss_weights=loss_weights,
            weighted_metrics=weighted_metrics,
            auto_scale_loss=auto_scale_loss,
        )
        self._state = None

    @property
    def compilation(self) -> Compilation:
        """Loss, metrics and optimizer.

        Raises:
            InvalidType: compile was not called.
        """
        if self._compilation is None:
            raise InvalidType("You must compile your model before training or testing it: call model.compile(...).")
        return self._compilation

    @property
    def is_compiled(self) -> bool:
        """Whether compile was called."""
        return self._compilation is not None

    @property
    def state(self) -> TrainState:
        """Everything that training changes, as it stands; before the first step with the optimizer's first slots."""
        if self._state is not None:
            return self._state
        variables = self.variables
        if self._compilation is None:
            return TrainState(self.seed, variables, slots={}, tracked={}, scaler=UNSCALED.initial())
        optimizer = self._compilation.optimizer
        return TrainState(
            seed=self.seed,
            variables=variables,
            slots=optimizer.inner_optimizer.initial_slots(self.weight_specs, variables),
            tracked=Evaluation(self.network, self._compilation).initial(),
            scaler=optimizer.rule.initial(),
        )

    def restore(self, state: TrainState) -> None:
        """Go on from a state, such as one read from a file: the next ``fit`` trains from here."""
        self._state = state

    @property
    def optimizer(self) -> Any:
        """The optimizer, wrapped where the policy asks for loss scaling."""
        return self.compilation.optimizer

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.network.name

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Every layer once."""
        return self.network.layers

    @property
    def policy(self) -> Policy:
        """Policy of the model itself."""
        return self.network.policy

    @property
    def weight_specs(self) -> tuple[WeightSpec, ...]:
        """Every variable, before it exists."""
        return self.network.weight_specs

    @property
    def input_shapes(self) -> tuple[Shape, ...]:
        """Batch axis first."""
        return self.network.input_shapes

    @property
    def output_shapes(self) -> tuple[Shape, ...]:
        """Batch axis first."""
        return self.network.output_shapes

    @property
    def output_dtypes(self) -> tuple[DType, ...]:
        """Dtypes of the outputs."""
        return self.network.output_dtypes

    def count_params(self) -> int:
        """Return the number of parameters; nothing is allocated."""
        return self.network.count_params()

    def get_config(self) -> dict[str, Any]:
        """Return ``{"class_name", "config"}`` in the spelling of the model's line of Keras."""
        return self.network.get_config()

    @property
    def variables(self) -> Mapping[str, Array]:
        """Values by path, made on first use."""
        if self._state is not None:
            return self._state.variables
        if self._arrays is None:
            self._arrays = self.network.initial_arrays(self.seed)
        return self._arrays

    def get_weights(self) -> list[Array]:
        """Return copies of all variables in Keras's order, in their true dtypes."""
        return [to_edge(self.variables[spec.path], spec.dtype) for spec in self.weight_specs]

    def set_weights(self, weights: Sequence[Array]) -> None:
        """Set all variables.

        Raises:
            ShapeMismatch: another number of arrays, or another shape.
        """
        if len(weights) != len(self.weight_specs):
            raise ShapeMismatch(f"The model has {len(self.weight_specs)} weights, got {len(weights)} arrays.")
        self.set_variables({spec.path: value for spec, value in zip(self.weight_specs, weights, strict=True)})

    def set_variables(self, values: Mapping[str, Array]) -> None:
        """Set all variables, by path.

        Raises:
            ShapeMismatch: one is missing, or has another shape.
        """
        arrays = {}
        for spec in self.weight_specs:
            if spec.path not in values:
                raise ShapeMismatch(f"There is no value for weight {spec.path!r}.")
            array = np.array(values[spec.path], dtype=spec.dtype.storage)
            if array.shape != spec.shape:
                raise ShapeMismatch(f"Weight {spec.path!r} has shape {list(spec.shape)}, got {list(array.shape)}.")
            arrays[spec.path] = rounded(array, spec.dtype)
        self._arrays = arrays
        if self._state is not None:
            self._state = replace(self._state, variables=arrays)

    def fit(  # noqa: PLR0913  Keras's signature
        self,
        x: Data,
        y: Data,
        *,
        batch_size: int = 32,
        epochs: int = 1,
        validation_split: float = 0.0,
        shuffle: bool = True,
        seed: int | None = None,
        sample_weight: Data | None = None,
        class_weight: Mapping[int, float] | None = None,
        callbacks: Sequence[Any] = (),
        save: Callable[[Saving], None] | None = None,
        observer: Observer = NOBODY,
    ) -> History:
        """Train for some epochs, going on from where the last call stopped; return the epochs' logs.

        Beside Keras's arguments, an observer, which is shown the tensors of the steps that it wants, and what saves
        the models that a ModelCheckpoint asks for: the engine itself writes no files of Keras's.

        Raises:
            InvalidValue: there is a ModelCheckpoint and no `save`.
        """
        called = tuple(map(callbacks_of.get, callbacks))
        if save is None and any(isinstance(callback, ModelCheckpoint) for callback in called):
            raise InvalidValue("ModelCheckpoint needs `save`: a function that is given what is to be saved, and where.")
        options = FitOptions(batch_size, epochs, validation_split, shuffle, class_weight=class_weight, callbacks=called)
        trainer = Trainer(self, x, y, options, self.seed if seed is None else seed, sample_weight, observer=observer)
        state = trainer.begun(self._trained(trainer))
        history = History()
        while not trainer.finished(state):
            state, record = trainer.advance(state)
            for saving in record.saved:
                save(saving)  # type: ignore[misc]  # only a ModelCheckpoint asks for it
            if isinstance(record, EpochRecord):
                history.append(record.logs)
        self._state = state
        return history

    def train_on_batch(self, x: Data, y: Data, sample_weight: Data | None = None) -> dict[str, float]:
        """Do one step on one batch; return loss and metrics of the batch, as seen before the update."""
        trainer = Trainer(self, x, y, FitOptions(MOST_ROWS, 1, 0.0, shuffle=False), self.seed, sample_weight)
        state = replace(trainer.begun(self._trained(trainer)), tracked=trainer.empty_totals())
        self._state, record = trainer.step(state)
        return {"loss": record.loss, **record.metrics}

    def _trained(self, trainer: Trainer) -> TrainState:
        if self._state is not None:
            return self._state
        return trainer.initial_state(self._arrays)

    def evaluate(self, x: Data, y: Data, batch_size: int = 32, sample_weight: Data | None = None) -> dict[str, float]:
        """Return loss and metrics over all rows."""
        trainer = Trainer(self, x, y, FitOptions(batch_size), self.seed, sample_weight)
        return trainer.evaluate(replace(self._trained(trainer)), x, y, sample_weight)

    def predict(self, x: Data, batch_size: int = 256) -> Any:
        """Return the output for all rows, in the true dtype of the output layer; of several outputs a list."""
        found = predict(self.network, self.variables, x, batch_size)
        return found[0] if len(found) == 1 else list(found)

    def summary(self) -> str:
        """Return a table of layers: name, class, policy, output shape, parameters."""
        rows = [("Layer", "Class", "Policy", "Output shape", "Params")]
        for call in self.network.graph.calls:
            shape = str(tuple(call.output_shape))
            params = str(sum(spec.size for spec in call.weights))
            rows.append((call.layer.name or "", call.layer.class_name, call.layer.policy.name, shape, params))
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines_of = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([*lines_of, f"Total params: {self.count_params()}"])
