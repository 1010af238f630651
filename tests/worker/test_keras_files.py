"""`.keras` files: the places Keras uses, the same bytes every time, and nothing that a bad file can do.

`data/keras_datasets.json` was made by Keras 3.14.0 on TensorFlow 2.21: one model of each kind, saved with
`model.save()` (the nested ones by 3.15.1); of each the config.json and the shapes of the datasets in model.weights.h5.
"""

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import ml_dtypes
import numpy as np
import pytest

from engine.conventions import KERAS3, TF24
from engine.errors import EngineError, InvalidValue, Unsupported
from engine.model import Model, model_from_config
from engine.training import FitOptions, Trainer
from worker import keras_files
from worker.keras_files.archive import CONFIG, WEIGHTS
from worker.keras_files.members import Archive

RECORDED = json.loads((Path(__file__).parent / "data" / "keras_datasets.json").read_text(encoding="utf-8"))
MOST = 10**6
X = np.linspace(-1, 1, 32, dtype=np.float32).reshape(8, 4)
Y = np.arange(8) % 3


def small(conventions=KERAS3, policy="float32", optimizer="adam") -> Model:
    layers = [
        {"class_name": "Dense", "config": {"name": "h", "units": 5, "batch_input_shape": [None, 4]}},
        {"class_name": "Dense", "config": {"name": "o", "units": 3}},
    ]
    config = {"class_name": "Sequential", "config": {"name": "small", "layers": layers}}
    model = model_from_config(config, policy, conventions)
    model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
    return model


def trained(model: Model, epochs=2) -> tuple[Trainer, Any]:
    trainer = Trainer(model, X, Y, FitOptions(batch_size=4, epochs=epochs), seed=3)
    state = trainer.initial_state()
    while not trainer.finished(state):
        state, _ = trainer.advance(state)
    return trainer, state


def saved(model: Model, epochs=2) -> tuple[io.BytesIO, Any]:
    trainer, state = trained(model, epochs)
    file = io.BytesIO()
    keras_files.write_model(file, trainer.network, state, trainer.compilation)
    return file, state


def same(left, right) -> bool:
    return np.array_equal(left, right, equal_nan=True)


def datasets(file: io.BytesIO) -> dict[str, list[int]]:
    weights, found = io.BytesIO(), {}
    Archive(file).copy(WEIGHTS, weights, 10**8)
    with h5py.File(weights, "r") as root:
        root.visititems(lambda path, item: found.update({path: list(item.shape)}) if hasattr(item, "shape") else None)
    return found


@pytest.mark.parametrize("name", RECORDED)
def test_every_variable_lies_where_keras_puts_it(name):
    config = RECORDED[name]["config"]
    model = model_from_config(config)
    settled = config["compile_config"]
    compilation = None
    if settled and settled.get("loss"):
        model.compile(settled["optimizer"], settled["loss"], settled["metrics"])
        compilation = model.compilation
    file = io.BytesIO()
    keras_files.write_model(file, model.network, model.state, compilation)
    assert datasets(file) == RECORDED[name]["datasets"]


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_written_is_read_again(name):
    model = model_from_config(RECORDED[name]["config"])
    file = io.BytesIO()
    keras_files.write_model(file, model.network, model.state)
    again = keras_files.read_model(file, MOST).model
    assert again.get_config() == model.get_config()
    assert [spec.path for spec in again.weight_specs] == [spec.path for spec in model.weight_specs]
    assert all(np.array_equal(again.variables[path], value) for path, value in model.variables.items())


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "bfloat16", "float64"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "nadam", "adafactor"])
def test_a_training_goes_on_from_a_file(policy, optimizer):
    file, state = saved(small(policy=policy, optimizer=optimizer))
    loaded = keras_files.read_model(file, MOST)
    again = loaded.state
    assert again is not None
    assert loaded.dropped == ()
    assert (again.iterations, again.scaler) == (state.iterations, state.scaler)
    assert all(same(again.variables[path], value) for path, value in state.variables.items())
    kept = {key for key in state.slots if not (policy == "mixed_float16" and key == "u_product")}
    assert all(same(again.slots[key], state.slots[key]) for key in kept)


def test_the_same_state_gives_the_same_bytes():
    first, _ = saved(small(policy="mixed_float16"))
    second, _ = saved(small(policy="mixed_float16"))
    other, _ = saved(small(policy="mixed_float16"), epochs=1)
    assert first.getvalue() == second.getvalue() != other.getvalue()


def test_bfloat16_is_marked_as_keras_marks_it():
    file, _ = saved(small(policy="bfloat16"))
    weights = io.BytesIO()
    Archive(file).copy(WEIGHTS, weights, 10**8)
    with h5py.File(weights, "r") as root:
        kernel = root["layers/dense/vars/0"]
        assert (kernel.attrs["dtype"], kernel.dtype.itemsize) == ("bfloat16", 2)
        assert np.isfinite(kernel[()].view(ml_dtypes.bfloat16).astype(np.float32)).all()


def test_a_model_of_keras_2_becomes_one_of_keras_3_without_its_compilation():
    model = small(conventions=TF24)
    file, state = saved(model)
    config = Archive(file).json(CONFIG)
    assert (config["module"], config["compile_config"]) == ("keras", None)
    loaded = keras_files.read_model(file, MOST)
    assert loaded.model.network.conventions == TF24
    assert np.array_equal(loaded.model.variables["h/kernel"], state.variables["h/kernel"])
    assert loaded.state is None


def test_fit_goes_on_from_a_restored_state():
    file, _ = saved(small())
    loaded = keras_files.read_model(file, MOST)
    loaded.model.fit(X, Y, batch_size=4, epochs=1)
    assert keras_files.read_model(file, MOST).state.iterations == 4


# ------------------------------------------------------------------------------------------------- files of anybody


def rewritten(change) -> io.BytesIO:
    """A small model's file with its members changed."""
    file, _ = saved(small())
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in change(members).items():
            archive.writestr(name, content)
    return made


def with_config(change) -> io.BytesIO:
    def changed(members):
        config = json.loads(members[CONFIG])
        change(config)
        return {**members, CONFIG: json.dumps(config).encode()}

    return rewritten(changed)


def with_weights(change) -> io.BytesIO:
    def changed(members):
        file = io.BytesIO(members[WEIGHTS])
        with h5py.File(file, "r+") as root:
            change(root)
        return {**members, WEIGHTS: file.getvalue()}

    return rewritten(changed)


def replaced(root, **keywords) -> None:
    del root["layers/dense/vars/0"]
    root["layers/dense/vars"].create_dataset("0", **keywords)


def linked(root, link) -> None:
    del root["layers/dense/vars/0"]
    root["layers/dense/vars/0"] = link


def without(root, place) -> None:
    del root[place]


BAD_WEIGHTS = {
    "another shape": lambda root: replaced(root, data=np.zeros((5, 4))),
    "a size that is only claimed": lambda root: replaced(root, shape=(2**40,), dtype="f4", chunks=(1024,)),
    "chunks beyond the array": lambda root: replaced(
        root, shape=(4, 5), maxshape=(None, 5), dtype="f4", chunks=(2**22, 5)
    ),
    "strings": lambda root: replaced(root, shape=(4, 5), dtype=h5py.string_dtype()),
    "references": lambda root: replaced(root, shape=(4, 5), dtype=h5py.ref_dtype),
    "bytes of no kind": lambda root: replaced(root, data=np.zeros((4, 5), "V2")),
    "data of another file": lambda root: replaced(root, shape=(4, 5), dtype="f4", external=[("/etc/passwd", 0, 80)]),
    "a link to another file": lambda root: linked(root, h5py.ExternalLink("/etc/passwd", "/x")),
    "a soft link": lambda root: linked(root, h5py.SoftLink("/layers/dense/vars/1")),
    "a missing array": lambda root: without(root, "layers/dense/vars/0"),
    "a missing group": lambda root: without(root, "layers/dense"),
    "an array for a group": lambda root: (root.move("layers", "other"), root.create_dataset("layers", data=1)),
    "the layout of Keras 2": lambda root: root.attrs.update(layer_names=["h"]),
}


@pytest.mark.parametrize("what", BAD_WEIGHTS)
def test_bad_weights_are_refused(what):
    with pytest.raises(InvalidValue) as refused:
        keras_files.read_model(with_weights(BAD_WEIGHTS[what]), MOST)
    assert refused.value.code == "invalid_keras_file"


BAD_ARCHIVES = {
    "no config": lambda members: {WEIGHTS: members[WEIGHTS]},
    "no weights": lambda members: {name: text for name, text in members.items() if name != WEIGHTS},
    "a list for a config": lambda members: {**members, CONFIG: b"[]"},
    "no JSON": lambda members: {**members, CONFIG: b"{"},
    "nesting beyond measure": lambda members: {**members, CONFIG: b'{"a":' * 10**5},
    "a bomb for a config": lambda members: {**members, CONFIG: b" " * (17 << 20)},
    "a bomb for weights": lambda members: {**members, WEIGHTS: bytes(60 << 20)},
    "a packed bomb": lambda members: {**members, CONFIG: b" " * (10 << 20)},
    "no HDF5": lambda members: {**members, WEIGHTS: b"weights"},
    "half the HDF5": lambda members: {**members, WEIGHTS: members[WEIGHTS][:2500]},
    "too many members": lambda members: members | {f"assets/{index}": b"" for index in range(100)},
}


@pytest.mark.parametrize("what", BAD_ARCHIVES)
def test_bad_archives_are_refused(what):
    with pytest.raises(InvalidValue) as refused:
        keras_files.read_model(rewritten(BAD_ARCHIVES[what]), MOST)
    assert refused.value.code in {"invalid_keras_file", "too_large"}


@pytest.mark.parametrize("size", [0, 3, 200, 3000])
def test_half_a_file_is_refused(size):
    file, _ = saved(small())
    with pytest.raises(InvalidValue, match="zip archive"):
        keras_files.read_model(io.BytesIO(file.getvalue()[:size]), MOST)


def test_a_changed_byte_is_found():
    file, _ = saved(small())
    content = bytearray(file.getvalue())
    content[content.index(b"small", content.index(b"class_name"))] ^= 1
    with pytest.raises(InvalidValue, match="CRC"):
        keras_files.read_model(io.BytesIO(bytes(content)), MOST)


def test_a_member_twice_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(CONFIG, b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(CONFIG, b"{}")
    with pytest.raises(InvalidValue, match="two members"):
        keras_files.read_model(file, MOST)


def test_a_model_beyond_the_limit_is_refused_before_its_weights_are_read():
    def widen(config):
        config["config"]["layers"][2]["config"]["units"] = 10**9

    with pytest.raises(InvalidValue) as refused:
        keras_files.read_model(with_config(widen), MOST)
    assert refused.value.code == "too_large"


def test_code_is_not_run():
    def hide(config):
        code = {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}}
        config["config"]["layers"][1] = {"class_name": "Lambda", "config": {"name": "l", "function": code}}

    with pytest.raises(Unsupported) as refused:
        keras_files.read_model(with_config(hide), MOST)
    assert refused.value.path == (CONFIG, "config", "layers", 1, "class_name")


def test_a_loss_of_ones_own_is_left_out_and_said():
    def own(config):
        config["compile_config"]["loss"] = {"class_name": "MyLoss", "config": {}, "registered_name": "me>MyLoss"}

    loaded = keras_files.read_model(with_config(own), MOST)
    assert (loaded.dropped, loaded.state) == (("compile_config",), None)


def test_an_optimizer_with_other_variables_is_left_out_and_said():
    loaded = keras_files.read_model(with_weights(lambda root: without(root, "optimizer/vars/3")), MOST)
    assert (loaded.dropped, loaded.state) == (("optimizer",), None)


@pytest.mark.parametrize("settled", [3, "adam", [1]])
def test_a_compilation_that_is_none_is_refused(settled):
    with pytest.raises(EngineError) as refused:
        keras_files.read_model(with_config(lambda config: config.update(compile_config=settled)), MOST)
    assert refused.value.path == (CONFIG, "compile_config")


def test_older_names_of_groups_are_found():
    def older(root):
        root.move("layers", "_layer_checkpoint_dependencies")

    loaded = keras_files.read_model(with_weights(older), MOST)
    expected = keras_files.read_model(saved(small())[0], MOST)
    assert np.array_equal(loaded.model.variables["h/kernel"], expected.model.variables["h/kernel"])


def test_weights_alone():
    trainer, state = trained(small())
    file = io.BytesIO()
    keras_files.write_weights(file, trainer.network, replace(state, slots={}))
    found = keras_files.read_weights(file, trainer.network)
    assert all(np.array_equal(found[path], value) for path, value in state.variables.items())


def test_a_model_with_updates_that_keras_lacks_is_written_without_its_optimizer():
    file, state = saved(
        small(policy="bfloat16", optimizer={"class_name": "Adam", "config": {"update_rounding": "kahan"}})
    )
    file.seek(0)
    loaded = keras_files.read_model(file, MOST)
    assert not loaded.model.is_compiled
    assert all(same(loaded.model.variables[path], array) for path, array in state.variables.items())


def test_a_member_whose_packed_bytes_are_damaged_is_told() -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({str(number): number for number in range(500)}))
    for place in range(60, 300, 8):
        damaged = bytearray(whole.getvalue())
        damaged[place] ^= 0xFF
        with pytest.raises(InvalidValue, match=r"damaged config\.json"):
            Archive(io.BytesIO(bytes(damaged))).json("config.json")
