"""Group E: `.keras` and `.weights.h5` files of real Keras, read, written again and compared member by member."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from engine.optimizers import LossScaleOptimizer
from engine.state import TrainState
from tests.golden.train_case import Findings, building
from worker import keras_files
from worker.keras_files import Loaded
from worker.keras_files.archive import WEIGHTS
from worker.keras_files.members import Archive
from worker.keras_files.slots import OUTER, variables_of

_MOST = 10**6


def export(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    folder = Path(document["directory"])
    with building(), (folder / document["keras_file"]["file"]).open("rb") as file:
        loaded = keras_files.read_model(file, _MOST)
    findings.same("what is left out", loaded.dropped, ())
    if loaded.state is None:
        findings.differs("optimizer", "the optimizer's state is not there")
        return findings.differences
    _check_weights(findings, loaded, folder)
    _check_optimizer(findings, loaded, loaded.state)
    _check_predictions(findings, loaded)
    _check_rewritten(findings, loaded, loaded.state, folder)
    return findings.differences


def _check_weights(findings: Findings, loaded: Loaded, folder: Path) -> None:
    specs, recorded = loaded.model.weight_specs, findings.document["weights"]
    findings.same("weights", [spec.path for spec in specs], [about["path"] for about in recorded])
    with (folder / findings.document["weights_file"]["file"]).open("rb") as file:
        alone = keras_files.read_weights(file, loaded.model.network)
    for about in recorded:
        for what, variables in ((".keras", loaded.model.variables), (".weights.h5", alone)):
            got = variables.get(about["path"])
            if got is None or not np.array_equal(got, findings.arrays[about["array"]]):
                findings.differs("weights", f"{about['path']} in {what} is not the recorded one")


def _check_optimizer(findings: Findings, loaded: Loaded, state: TrainState) -> None:
    optimizer = loaded.model.optimizer
    variables = variables_of(optimizer, loaded.model.network.trainable_specs, state.slots)[OUTER][1]
    recorded = findings.document["optimizer_state"]
    findings.same("number of optimizer variables", len(variables), len(recorded))
    scaled = recorded[0]["path"].startswith("loss_scale_optimizer/")
    findings.same("loss scaling", isinstance(optimizer, LossScaleOptimizer), scaled)
    for variable, about in zip(variables, recorded, strict=False):
        got, expected = variable.read(state), findings.arrays[about["array"]]
        if got.dtype != expected.dtype or not np.array_equal(got, expected):
            findings.differs("optimizer", f"{about['path']} is not the recorded one")


def _check_predictions(findings: Findings, loaded: Loaded) -> None:
    got = loaded.model.predict(tuple(findings.arrays[key] for key in findings.document["inputs"]))
    key = findings.document["predictions"]
    findings.same("dtype of predictions", str(got.dtype), findings.dtype_of(key).name)
    findings.check("predictions", "output", got, key)


def _check_rewritten(findings: Findings, loaded: Loaded, state: TrainState, folder: Path) -> None:
    """Write the model again: Keras's file and ours must hold the same arrays under the same names."""
    model, written = loaded.model, io.BytesIO()
    keras_files.write_model(written, model.network, state, model.compilation)
    theirs, ours = io.BytesIO(), io.BytesIO()
    with (folder / findings.document["keras_file"]["file"]).open("rb") as file:
        Archive(file).copy(WEIGHTS, theirs, 10**8)
    Archive(written).copy(WEIGHTS, ours, 10**8)
    expected, got = _datasets(theirs), _datasets(ours)
    findings.same("members of the weights", sorted(got), sorted(expected))
    listed = sorted(about["path"] for about in findings.document["weights_file"]["datasets"])
    findings.same("recorded members", sorted(got), listed)
    for path in set(got) & set(expected):
        if got[path].dtype != expected[path].dtype or not np.array_equal(got[path], expected[path]):
            findings.differs("rewritten", f"{path} is not what Keras wrote")
    again = keras_files.read_model(written, _MOST)
    for path, value in model.variables.items():
        if not np.array_equal(again.model.variables[path], value):
            findings.differs("read again", f"{path} changed on the way")


def _datasets(file: BinaryIO) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    with h5py.File(file, "r") as root:
        root.visititems(lambda path, item: found.update({path: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found
