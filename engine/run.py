"""One forward pass: the variables as tensors, the casts at the layers' edges, what layers leave behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine import ops
from engine.conventions import TF24, Conventions
from engine.dtypes import DType
from engine.gradients import Gradient
from engine.tape import Array, Tape, Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True, slots=True)
class Noise:
    """Where the randomness of a step comes from: a key, so that any step can be repeated.

    Attributes:
        seed: of the job.
        step: of the training.
    """

    seed: int = 0
    step: int = 0

    def generator(self, position: int, salt: int = 0) -> np.random.Generator:
        """Return the generator of the position-th random draw of the step."""
        counter = [0, position, self.step, salt % 2**64]
        return np.random.Generator(np.random.Philox(key=self.seed, counter=counter))


class Run:
    """The state of one forward pass.

    Attributes:
        training: whether layers behave as in training.
        conventions: the line of Keras to follow.
        tape: where ops are recorded, or None for inference.
        variables: path -> tensor in the variable dtype; trainable ones are leaves of the tape.
        updates: path -> new value of a non-trainable variable (moving statistics).
        losses: scalar penalties that layers added.
    """

    def __init__(
        self,
        specs: Iterable[WeightSpec],
        arrays: Mapping[str, Array],
        *,
        training: bool = False,
        tape: Tape | None = None,
        conventions: Conventions = TF24,
        noise: Noise | None = None,
    ) -> None:
        self.training = training
        self.conventions = conventions
        self.tape = tape
        self.variables = {spec.path: self.variable(spec, arrays[spec.path]) for spec in specs}
        self.updates: dict[str, Array] = {}
        self.losses: list[Tensor] = []
        self._noise = noise or Noise()
        self._draws = 0
        self._cast: dict[tuple[str, str], Tensor] = {}
        self._called: set[str] = set()

    def variable(self, spec: WeightSpec, array: Array) -> Tensor:
        """Return the tensor of a variable."""
        if self.tape is not None and spec.trainable:
            return self.tape.leaf(array, spec.dtype)
        return Tensor(array, spec.dtype)

    def weight(self, path: str, dtype: DType) -> Tensor:
        """Return a variable cast to a dtype; however often a call of its layer reads it, it is cast once.

        Each call of a layer has casts of its own, so that the gradients of several are added in the variable's dtype.
        """
        key = (path, dtype.name)
        if key not in self._cast:
            self._cast[key] = ops.cast(self.variables[path], dtype)
        return self._cast[key]

    def gradients(self, target: Tensor, specs: Sequence[WeightSpec]) -> list[Gradient | None]:
        """Return d(target)/d(variable) of each of these variables, in its dtype; uses the tape up."""
        assert self.tape is not None, "a run without a tape takes no gradients"
        return self.tape.gradient_or_rows(target, [self.variables[spec.path] for spec in specs])

    def add_loss(self, loss: Tensor | float) -> None:
        """Add a penalty to the model's loss: a scalar in its own dtype, or a number, which becomes ``floatx``."""
        self.losses.append(loss if isinstance(loss, Tensor) else ops.constant(loss, self.conventions.floatx))

    def enter(self, layer: str) -> None:
        """Note that a layer's call begins."""
        if layer in self._called:
            self.forget_casts(f"{layer}/")
        self._called.add(layer)

    def forget_casts(self, prefix: str) -> None:
        """Forget the casts of the variables whose paths begin so."""
        self._cast = {key: cast for key, cast in self._cast.items() if not key[0].startswith(prefix)}

    def leave(self, output: Any) -> None:
        """Note that the call ends that was entered last, with this output."""

    def given(self, layer: str, tensor: Tensor) -> Tensor:
        """Return what enters the network by an input."""
        return tensor

    def forward_done(self) -> None:
        """Note that the layers are done, and the loss begins."""

    def loss_done(self, loss: Tensor) -> None:
        """Note the total loss; what follows is its scale."""

    def backward_begins(self) -> None:
        """Note that the scaled loss is there."""

    @contextmanager
    def behaving(self, training: bool) -> Iterator[None]:
        """Behave as in training or not for a while."""
        before = self.training
        self.training = training
        yield
        self.training = before

    def generator(self, layer_seed: int | None = None) -> np.random.Generator:
        """Return a fresh generator for one random draw of this step; a layer may mix in a seed of its own."""
        self._draws += 1
        return self._noise.generator(self._draws, layer_seed or 0)
