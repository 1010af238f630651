"""Group D: whole trainings, step by step."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine import model_from_config
from engine.conventions import Conventions
from engine.gradients import dense
from engine.model import Model
from engine.optimizers import LossScaleOptimizer
from engine.optimizers.joined import Settled
from engine.policy import Policy, PolicyV1
from engine.run import Noise
from engine.state import TrainState
from engine.step import Backward, backward
from engine.training import FitOptions, StepRecord, Trainer
from tests.golden.train_case import Findings, building, error, magnitude

_DIFFERENCES = ("scale_trajectory_first_difference_after_perturbed_start", "torch_scale_first_difference_step")


@dataclass
class _Run:
    """What a training gave: records of the steps, and what was looked at on the way."""

    state: TrainState
    records: list[StepRecord] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    looked: dict[int, Backward] = field(default_factory=dict)


def training(document: dict[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    findings = Findings(document, arrays)
    with building():
        model = _model(findings)
        trainer = _trainer(findings, model)
        _check_compilation(findings, model)
    state = _initial(findings, trainer)
    if findings.found:
        return findings.differences
    _check_predictions(findings, trainer, state, "before")
    run = _train(findings, trainer, state)
    _check_steps(findings, run.records, run.iterations)
    _check_losses(findings, np.array([record.loss for record in run.records]))
    _check_gradients(findings, run)
    _check_dtypes(findings, model, run.looked[0])
    _check_weights(findings, run.state)
    _check_predictions(findings, trainer, run.state, "after")
    _check_history(findings, run.state)
    return findings.differences


def _model(findings: Findings) -> Model:
    document = findings.document
    scale = document.get("experimental_policy_loss_scale")
    name = document["model_policy"]
    if "experimental_policy_loss_scale" in document:
        policy: Policy = PolicyV1.from_config({"name": name, "loss_scale": scale})
    else:
        policy = Policy(name)
    model = model_from_config(document["model"], policy, _line(document, findings.conventions))
    settled = document["compile"]
    model.compile(
        document["optimizer"],
        settled["loss"],
        settled.get("metrics") or (),
        auto_scale_loss=settled.get("auto_scale_loss", True),
    )
    return model


def _line(document: Mapping[str, Any], conventions: Conventions) -> Conventions:
    apart = (document.get("embedding_gradients") or "").startswith("tf IndexedSlices")
    return replace(conventions, row_gradients=apart)


def _trainer(findings: Findings, model: Model) -> Trainer:
    document = findings.document
    data = document["data"]
    weights = data.get("sample_weight")
    by_class = data.get("class_weight")
    options = FitOptions(
        batch_size=document["batch_size"],
        epochs=document["epochs"],
        shuffle=document["shuffle"],
        class_weight=by_class and {int(label): float(weight) for label, weight in by_class.items()},
    )
    x, y = tuple(findings.arrays[key] for key in data["inputs"]), findings.arrays[data["y"]]
    return Trainer(model, x, y, options, seed=0, sample_weight=weights and findings.arrays[weights])


def _initial(findings: Findings, trainer: Trainer) -> TrainState:
    specs, recorded = trainer.network.weight_specs, findings.document["weights"]
    for fact in ("shape", "dtype", "trainable"):
        got = [{"shape": list(spec.shape), "dtype": spec.dtype.name, "trainable": spec.trainable} for spec in specs]
        findings.same(f"{fact} of weights", [item[fact] for item in got], [item[fact] for item in recorded])
    state = trainer.initial_state()
    if findings.found:
        return state
    values = {
        spec.path: findings.arrays[about["initial"]].astype(spec.dtype.storage)
        for spec, about in zip(specs, recorded, strict=True)
    }
    return replace(state, variables=values)


def _train(findings: Findings, trainer: Trainer, state: TrainState) -> _Run:
    """Train to the end; before each step whose gradients were recorded (and the first), look at what it will do."""
    wanted = {0} | {item["step"] for item in findings.document["gradients"]}
    run = _Run(state)
    while len(run.records) < findings.document["steps"] and not trainer.finished(run.state):
        if len(run.records) in wanted and run.state.batch < trainer.steps_per_epoch:
            run.looked[len(run.records)] = _look(trainer, run.state)
        run.state, record = trainer.advance(run.state)
        if isinstance(record, StepRecord):
            run.records.append(record)
            run.iterations.append(run.state.iterations)
    if run.state.batch == trainer.steps_per_epoch:
        run.state, _ = trainer.advance(run.state)  # ends the epoch
    return run


def _look(trainer: Trainer, state: TrainState) -> Backward:
    start = state.batch * trainer.fit.batch_size
    rows = trainer.train.part(slice(start, start + trainer.fit.batch_size))
    noise = Noise(state.seed, state.step + 1)
    settled = Settled(state.variables, state.slots, trainer.compilation.optimizer.inner_optimizer)
    with np.errstate(all="ignore"):
        return backward(trainer.network, trainer.compilation, settled, rows, state.scaler.loss_scale, noise)


def _check_compilation(findings: Findings, model: Model) -> None:
    effective = findings.document["optimizer_effective"]
    wrapped = effective["class_name"].startswith("LossScaleOptimizer")
    findings.same("loss scaling", isinstance(model.optimizer, LossScaleOptimizer), wrapped)
    if wrapped and isinstance(model.optimizer, LossScaleOptimizer):
        for key in ("initial_scale", "dynamic_growth_steps"):
            findings.same(key, getattr(model.optimizer, key), effective["config"][key])


def _check_steps(findings: Findings, records: list[StepRecord], iterations: list[int]) -> None:
    document, arrays = findings.document, findings.arrays
    recorded = {fact: arrays[key] for fact, key in document["per_step"].items() if key is not None}
    findings.same("number of steps", len(records), document["steps"])
    findings.check_values(
        "learning rate", "learning_rate", [record.learning_rate for record in records], recorded["learning_rate"]
    )
    until = _comparable_steps(document)
    facts: dict[str, list[Any]] = {
        "loss_scale_before": [record.loss_scale for record in records],
        "loss_scale_after": [record.loss_scale_after for record in records],
        "good_steps_after": [record.counter_after for record in records],
        "iterations_after": iterations,  # the variable, not the full windows that `optimizer.iterations` shows
        "gradients_finite": [record.grads_finite for record in records],
    }
    for fact, got in facts.items():
        if fact in recorded:
            _same_steps(findings, fact, got[:until], recorded[fact][:until])


def _comparable_steps(document: Mapping[str, Any]) -> int:
    """Return up to which step the scale is determined: later, rounding alone may decide whether a step overflows."""
    found = [document.get(key) for key in _DIFFERENCES]
    flat = [step for item in found for step in (item if isinstance(item, list) else [item]) if step is not None]
    return int(min(flat, default=document["steps"]))


def _same_steps(findings: Findings, fact: str, got: list[Any], expected: np.ndarray) -> None:
    pairs = zip(got, expected.tolist(), strict=True)
    unlike = [(step, mine, theirs) for step, (mine, theirs) in enumerate(pairs) if float(mine) != float(theirs)]
    if unlike:
        step, mine, theirs = unlike[0]
        findings.differs(fact, f"{fact}: expected {theirs} at step {step}, got {mine}; {len(unlike)} steps differ")


def _check_losses(findings: Findings, got: np.ndarray) -> None:
    expected = findings.arrays[findings.document["per_step"]["loss"]]
    findings.check_values("loss of step 0", "loss_step0", got[0], expected[0])
    findings.check_values("loss of steps 1 to 9", "loss_steps_1_9", got[1:10], expected[1:10])
    findings.check_values("loss of all steps", "loss_all", got, expected)
    findings.check_values("mean loss of the last 10", "loss_mean_last10", got[-10:].mean(), expected[-10:].mean())


def _check_gradients(findings: Findings, run: _Run) -> None:
    """Compare the recorded gradients, still scaled; where they overflow, only that they do counts."""
    document = findings.document
    without = set(document["weights_without_gradient"])
    finite = findings.arrays[document["per_step"]["gradients_finite"]].astype(bool)
    until = _comparable_steps(document)
    for item in document["gradients"]:
        step = item["step"]
        if not finite[step] or step >= until:
            continue
        quantity = {0: "grad_step0", 1: "grad_step1"}.get(step, "grad_first_finite")
        keys = {entry["weight"]: entry["array"] for entry in item["arrays"] if entry["weight"] not in without}
        largest = magnitude(findings.arrays[key] for key in keys.values())
        gradients = _by_weight(findings, run.looked[step])
        for weight, key in keys.items():
            name = document["weights"][weight]["path"]
            findings.check(f"gradient of {name} at step {step}", quantity, gradients[weight], key, largest)


def _by_weight(findings: Findings, looked: Backward) -> dict[int, Any]:
    trainable = [index for index, about in enumerate(findings.document["weights"]) if about["trainable"]]
    found = [dense(gradient) if gradient is not None else None for gradient in looked.gradients]
    return dict(zip(trainable, found, strict=True))


def _check_dtypes(findings: Findings, model: Model, first: Backward) -> None:
    dtypes: Mapping[str, Any] = findings.document["dtypes"]
    findings.same("dtype of the loss", first.loss.dtype.name, dtypes["loss"])
    findings.same("dtype of predictions", first.predictions[0].dtype.name, dtypes["y_pred"])
    got = {layer.name: layer for layer in model.layers}
    for about in dtypes["layers"]:
        layer = got.get(about["name"])
        if layer is None:
            findings.differs("layers", f"there is no layer {about['name']}")
        elif layer.class_name != "InputLayer":  # it computes nothing
            found = (layer.policy.compute_dtype, layer.policy.variable_dtype)
            findings.same(f"dtypes of {about['name']}", found, (about["compute_dtype"], about["variable_dtype"]))


def _check_weights(findings: Findings, state: TrainState) -> None:
    without = set(findings.document["weights_without_gradient"])
    for index, (about, value) in enumerate(zip(findings.document["weights"], state.variables.values(), strict=True)):
        if index not in without:
            findings.check(f"final {about['path']}", "weights_final", value, about["final"])


def _check_predictions(findings: Findings, trainer: Trainer, state: TrainState, when: str) -> None:
    document = findings.document
    x = tuple(findings.arrays[key] for key in document["data"]["eval_inputs"])
    got = trainer.predict(state, x)
    key = document["predictions"][when]
    findings.same(f"dtype of predictions {when}", str(got.dtype), findings.dtype_of(key).name)
    findings.check(f"predictions {when}", f"pred_{when}", got, key)


def _check_history(findings: Findings, state: TrainState) -> None:
    """Compare the epochs' losses with those of ``fit``, where it did just what the recorded steps did."""
    document = findings.document
    recorded = document.get("fit_history", {}).get("loss")
    if recorded is None or document.get("fit_vs_steps_max_abs_weight_difference") != 0:
        return
    got = [logs["loss"] for logs in state.history]
    if error(got, np.array(recorded, np.float64)) > findings.tolerance("loss_all"):
        findings.differs("history", f"loss of epochs: expected {recorded}, got {got}")
