"""`.keras`: a zip archive of a model's config, its weights and a word about who wrote it.

SOURCE: `keras.src.saving.saving_lib` of Keras 3.15.1.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

from engine import conventions as lines
from engine.compilation import Compilation
from engine.errors import InvalidType, InvalidValue, Unsupported, located
from engine.layers.dtype_argument import read_dtype
from engine.model import Model, model_from_config
from engine.network import Network
from engine.state import TrainState
from worker.keras_files import hdf5
from worker.keras_files.configs import compile_config, model_config
from worker.keras_files.members import Archive, add
from worker.keras_files.weights import optimizer_in, weights_in, write_weights

METADATA, CONFIG, WEIGHTS = "metadata.json", "config.json", "model.weights.h5"
KERAS_VERSION = "3.15.1"
"""The Keras whose format this is."""
_NO_DATE = "1980-01-01@00:00:00"
"""The oldest date that a zip archive can hold: a real one would make every file another."""


@dataclass(frozen=True)
class Loaded:
    """What a `.keras` file holds.

    Attributes:
        model: with its weights; compiled if the file says how and the engine has all of it.
        state: to go on training from, optimizer and loss scale included; None for a model that is not compiled.
        metadata: who wrote it.
        dropped: what the file has and this engine leaves out, as keys of its config.
    """

    model: Model
    state: TrainState | None
    metadata: Mapping[str, Any]
    dropped: tuple[str, ...] = ()


def write_model(file: BinaryIO, network: Network, state: TrainState, compilation: Compilation | None = None) -> None:
    """Write a model that Keras 3 opens; the same model and state give the same bytes.

    A model of Keras 2 is written in Keras 3's spelling and without its compilation, which Keras 3 would read otherwise.

    Args:
        file: takes the bytes from where it stands; need not be seekable.
        network: layers and connections.
        state: holds the variables.
        compilation: loss, metrics and optimizer, written with the optimizer's variables.
    """
    kept = compilation if network.conventions.keras3 else None
    settled = None if kept is None else compile_config(kept)
    optimizer = None if kept is None or settled is None else kept.optimizer
    config = {**model_config(network), "build_config": {"input_shape": None}, "compile_config": settled}
    metadata = {"keras_version": KERAS_VERSION, "date_saved": _NO_DATE, "halfstep": {"line": network.conventions.name}}
    with tempfile.TemporaryFile() as made, tempfile.TemporaryFile() as weights:
        write_weights(weights, network, state, optimizer)
        with zipfile.ZipFile(made, "w") as archive:
            add(archive, METADATA, json.dumps(metadata).encode())
            add(archive, CONFIG, json.dumps(config, allow_nan=False).encode())
            add(archive, WEIGHTS, weights)
        made.seek(0)
        shutil.copyfileobj(made, file)


def read_model(file: IO[bytes], max_parameters: int) -> Loaded:
    """Read a model that Keras 3 (or this engine) saved.

    Args:
        file: can be seeked.
        max_parameters: of the model; a larger one is refused before anything is allocated.

    Raises:
        InvalidValue: no such file, damaged, larger than it may be, or its weights are not those of its config.
        Unsupported: the engine lacks something of the model; the error's ``path`` leads to it in config.json.
    """
    archive = Archive(file)
    metadata = archive.json(METADATA)
    config = archive.json(CONFIG)
    model = _model(config, metadata)
    parameters = model.count_params()
    if parameters > max_parameters:
        text = f"The model has {parameters:,} parameters; at most {max_parameters:,} are taken."
        raise InvalidValue(text, code="too_large", path=(CONFIG,))
    dropped = _compiled(model, config.get("compile_config"))
    with tempfile.TemporaryFile() as weights:
        # An optimizer keeps a few arrays a variable, and behind a loss scale all of them twice.
        archive.copy(WEIGHTS, weights, at_most=(parameters + 4096) * 8 * 16)
        with hdf5.Reader(weights) as reader:
            model.set_variables(weights_in(reader, model.network))
            state = _state(reader, model) if model.is_compiled else None
    if state is None and model.is_compiled:
        dropped = (*dropped, "optimizer")
    if state is not None:
        model.restore(state)
    return Loaded(model, state, metadata, dropped)


def _model(config: Mapping[str, Any], metadata: Mapping[str, Any]) -> Model:
    own = metadata.get("halfstep")
    name = own.get("line") if isinstance(own, Mapping) else None
    line = lines.CONVENTIONS.get(str(name)) or lines.of(config)
    inner = config.get("config")
    with located(CONFIG):
        with located("config"):
            policy = read_dtype("dtype", inner.get("dtype") if isinstance(inner, Mapping) else None)
        return model_from_config(config, policy, line)


def _compiled(model: Model, settled: Any) -> tuple[str, ...]:
    """Compile the model as the file says; return what of it the engine does not have."""
    if settled in (None, {}):
        return ()
    if not isinstance(settled, Mapping):
        raise InvalidType(
            "`compile_config` must be an object or null.", code=hdf5.CODE, path=(CONFIG, "compile_config")
        )
    if settled.get("loss") is None:
        return ("compile_config",)
    with located(CONFIG, "compile_config"):
        try:
            model.compile(
                settled.get("optimizer", "rmsprop"),
                settled["loss"],
                settled.get("metrics") or (),
                loss_weights=settled.get("loss_weights"),
                weighted_metrics=settled.get("weighted_metrics"),
            )
        except Unsupported:
            return ("compile_config",)
    return ()


def _state(reader: hdf5.Reader, model: Model) -> TrainState | None:
    """Return the state with what the file keeps of the optimizer; None for that of another line or another kind."""
    if not model.network.conventions.keras3:
        return None
    return optimizer_in(reader, model.network, model.optimizer, model.state)
