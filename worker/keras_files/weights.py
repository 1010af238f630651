"""`.weights.h5`: the variables of a network, and of its optimizer if it has one."""

from collections.abc import Iterator
from typing import IO

import numpy as np

from engine.network import Network
from engine.optimizers import AnyOptimizer
from engine.rounding import to_edge
from engine.state import TrainState
from engine.tape import Array, rounded
from engine.weights import WeightSpec
from worker.keras_files import hdf5
from worker.keras_files.places import groups_of
from worker.keras_files.slots import OUTER, variables_of


def write_weights(file: IO[bytes], network: Network, state: TrainState, optimizer: AnyOptimizer | None = None) -> None:
    """Write the variables of a state; the same state gives the same bytes.

    Args:
        file: empty; can be read and seeked, as HDF5 demands.
        network: whose they are.
        state: holds them.
        optimizer: whose variables to write too; of Keras 3.
    """
    hdf5.write(file, _groups(network, state, optimizer))


def _groups(
    network: Network, state: TrainState, optimizer: AnyOptimizer | None
) -> Iterator[tuple[str, str, list[Array]]]:
    for group in groups_of(network):
        arrays = [to_edge(state.variables[spec.path], spec.dtype) for spec in group.specs]
        yield group.place, group.name, arrays
    if optimizer is not None:
        for place, (name, variables) in variables_of(optimizer, network.trainable_specs, state.slots).items():
            yield place, name, [variable.read(state) for variable in variables]


def read_weights(file: IO[bytes], network: Network) -> dict[str, Array]:
    """Return the variables of a network by path, in their storage dtypes.

    Args:
        file: `.weights.h5` of Keras 3; can be seeked.
        network: what they are for; nothing that it does not have is read.

    Raises:
        InvalidValue: no such file, or not the variables of this network.
    """
    with hdf5.Reader(file) as reader:
        return weights_in(reader, network)


def weights_in(reader: hdf5.Reader, network: Network) -> dict[str, Array]:
    """Return what :func:`read_weights` does, of an open file."""
    found = {
        spec.path: _on_grid(spec, reader.array(group.place, index, spec.shape))
        for group in groups_of(network)
        for index, spec in enumerate(group.specs)
    }
    return {spec.path: found[spec.path] for spec in network.weight_specs}


def _on_grid(spec: WeightSpec, values: Array) -> Array:
    return rounded(np.asarray(values, dtype=spec.dtype.storage), spec.dtype)


def optimizer_in(
    reader: hdf5.Reader, network: Network, optimizer: AnyOptimizer, state: TrainState
) -> TrainState | None:
    """Return a state with the optimizer's variables of a file; None if the file does not have as many as it keeps."""
    variables = variables_of(optimizer, network.trainable_specs, state.slots)[OUTER][1]
    if reader.count(OUTER) != len(variables):
        return None
    for index, variable in enumerate(variables):
        state = variable.stored(state, reader.array(OUTER, index, variable.shape))
    return state
