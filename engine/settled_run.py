"""A run that reads small variables as they were rounded together, in place of casting one after another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.conventions import Conventions
from engine.dtypes import DType
from engine.gradients import Gradient, added
from engine.optimizers.joined import Settled
from engine.run import Noise, Run
from engine.tape import Array, Tape, Tensor
from engine.weights import WeightSpec


class SettledRun(Run):
    """A training run on settled variables. Values and gradients are those of :class:`Run` to the bit.

    Args:
        specs: of all variables.
        settled: their values.
        conventions: the line of Keras to follow.
        noise: where random layers draw from.
    """

    def __init__(self, specs: Sequence[WeightSpec], settled: Settled, conventions: Conventions, noise: Noise) -> None:
        self._ready = settled.ready
        self._recorder = Tape()
        self._narrow: dict[str, Mapping[str, Array]] = {}  # by the name of their dtype
        self._read: dict[str, Tensor] = {}
        self._read_before: list[tuple[str, Tensor]] = []
        arrays = settled.variables
        super().__init__(specs, arrays, training=True, tape=self._recorder, conventions=conventions, noise=noise)

    def weight(self, path: str, dtype: DType) -> Tensor:
        """Return a variable cast to a dtype."""
        found = self._read.get(path)
        if found is not None and found.dtype is dtype:
            return found
        array = None if found is not None else self._narrow_values(dtype).get(path)
        if array is None or self.variables[path].node is None:
            return super().weight(path, dtype)
        self._read[path] = self._recorder.reading(array, dtype)
        return self._read[path]

    def forget_casts(self, prefix: str) -> None:
        """Forget the casts of the variables whose paths begin so; their gradients count."""
        super().forget_casts(prefix)
        done = [path for path in self._read if path.startswith(prefix)]
        self._read_before += [(path, self._read.pop(path)) for path in done]

    def _narrow_values(self, dtype: DType) -> Mapping[str, Array]:
        found = self._narrow.get(dtype.name)
        if found is None:
            found = self._narrow[dtype.name] = self._ready(dtype)
        return found

    def gradients(self, target: Tensor, specs: Sequence[WeightSpec]) -> list[Gradient | None]:
        """Return d(target)/d(variable) of each of these variables, what its narrow reading got added."""
        variables = [self.variables[spec.path] for spec in specs]
        read = [*self._read_before, *self._read.items()]
        sources = [*variables, *(tensor for _, tensor in read)]
        found = self._recorder.gradient_or_rows(target, sources)
        whole = dict(zip([spec.path for spec in specs], found, strict=False))
        for (path, _), gradient in zip(read, found[len(variables) :], strict=True):
            whole[path] = _sum(whole[path], gradient)
        return list(whole.values())


def _sum(first: Gradient | None, second: Gradient | None) -> Gradient | None:
    if first is None or second is None:
        return second if first is None else first
    return added(first, second)
