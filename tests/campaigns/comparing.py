"""One recorded model beside Halfstep: dtypes, forward pass and one training step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import ValidationError

from engine.gradients import dense
from engine.layers import InputLayer, Layer
from engine.layers.wrappers import Wrapper
from engine.numerics.plan import plan_of, with_inner
from engine.optimizers.joined import JoinedUpdates
from engine.records import StepRecord
from engine.rounding import to_edge
from engine.run import Noise
from engine.step import backward
from engine.watching import UNWATCHED, Unwatched
from tests.campaigns.noise import Nudges, widest_unit
from tests.campaigns.recording import unpacked
from worker.settings import Limits
from worker.specs.check import Prepared, prepare
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec

Case = dict[str, Any]
TOLERANCES = {
    "float64": (1e-6, 1e-5),
    "float32": (1e-4, 1e-3),
    "mixed_float16": (1e-2, 5e-2),
    "float16": (1e-2, 5e-2),
    "mixed_bfloat16": (6e-2, 2e-1),
    "bfloat16": (6e-2, 2e-1),
}
"""Of outputs and losses, and of the changes of weights, by their own size; 16 bits differ in the order of sums."""
VANISHING = 1e-10
"""Of the largest gradient."""


@dataclass(frozen=True)
class Difference:
    """What Halfstep does otherwise.

    Attributes:
        kind: "refused" here, "real" library refuses, "layer", "output", "loss", "scale" or "weight".
        text: what, of which size.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Stepped:
    """What one step did here."""

    outputs: list[Any]
    record: StepRecord
    before: dict[str, Any]
    after: dict[str, Any]

    def moves(self, path: str) -> Any:
        """Return the change of a variable."""
        return self.after[path].astype(np.float64) - self.before[path]


def job_of(case: Case) -> Case:
    """Return the job that asks for what the library did."""
    plan, inputs = case["plan"], [unpacked(one).tolist() for one in case["x"]]
    labels, losses = [unpacked(one).tolist() for one in case["y"]], case["compile"]["loss"]
    heads = [call["layer"] for name in plan["outputs"] for call in plan["calls"] if call["name"] == name]
    several = {one["name"]: rows for one, rows in zip(plan["inputs"], inputs, strict=True)}
    data: Case = {
        "x": inputs[0] if len(inputs) == 1 else several,
        "y": labels[0] if len(labels) == 1 else dict(zip(heads, labels, strict=True)),
    }
    if case["sample_weight"] is not None:
        data["sample_weight"] = unpacked(case["sample_weight"]).tolist()
    return {
        "model": case["model"],
        "policy": plan["asked"],
        "compile": {**case["compile"], "loss": losses[0] if len(losses) == 1 else losses},
        "fit": {"batch_size": plan["rows"], "epochs": 1, "shuffle": False},
        "data": data,
    }


def every_layer(prepared: Prepared) -> Iterator[tuple[str, Layer]]:
    """Yield all layers of a job's model, those inside wrappers too, by the last part of their names."""
    for top in prepared.model.layers:
        for layer in with_inner(top):
            yield (layer.name or "").rpartition("/")[2], layer


def stepped(case: Case, prepared: Prepared, watch: Unwatched = UNWATCHED) -> Stepped:
    """Do one step from the recorded weights."""
    model, trainer = prepared.model, prepared.trainer
    trainer.fit = replace(trainer.fit, terminate_on_nonfinite=False)
    trainer._watch = watch
    model.set_weights([unpacked(one) for one in case["weights"]])
    before = {path: array.copy() for path, array in model.variables.items()}
    outputs = model.predict(tuple(unpacked(one) for one in case["x"]), batch_size=case["plan"]["rows"])
    state, record = trainer.advance(trainer.initial_state(dict(model.variables)))
    after = {spec.path: to_edge(state.variables[spec.path], spec.dtype) for spec in model.weight_specs}
    return Stepped(outputs if isinstance(outputs, list) else [outputs], record, before, after)


def gap(ours: Any, real: Any) -> float:
    """Return how far two arrays are apart, by the size of the real one; places that are not finite must agree."""
    a, b = np.asarray(ours, np.float64), np.asarray(real, np.float64)
    if a.shape != b.shape:
        return np.inf
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return np.inf
    apart, size = (float(np.linalg.norm(one)) for one in (a[finite] - b[finite], b[finite]))
    return apart / size if size else apart


def of_layers(case: Case, prepared: Prepared) -> Iterator[Difference]:
    """Compare compute and variable dtypes of every layer, and the dtypes of what the outermost ones give."""
    ours = dict(every_layer(prepared))
    outputs = {plan.layer.name: plan.output_dtype.name for plan in plan_of(prepared.model.network)}
    for name, dtypes in case["real"].get("layers", {}).items():
        layer = ours.get(name)
        if layer is None:
            yield Difference("layer", f"{name} is missing")
        elif not isinstance(layer, InputLayer):
            mine = {"compute": layer.policy.compute.name, "variable": layer.policy.variable.name}
            # The symbolic output of Keras 3's wrappers has their compute dtype, whatever the layer inside gives.
            claimed = isinstance(layer, Wrapper) and case["library"] == "keras3"
            if name in outputs and "output" in dtypes and not claimed:
                mine["output"] = outputs[name]
            theirs = {key: dtypes[key] for key in mine}
            if mine != theirs:
                yield Difference("layer", f"{name} {layer.class_name}: {mine}, real {theirs}")


def of_outputs(case: Case, found: Stepped, nudges: Nudges) -> Iterator[Difference]:
    """Compare predictions with the first weights."""
    near, _ = TOLERANCES[case["plan"]["asked"]]
    for index, (mine, theirs) in enumerate(zip(found.outputs, case["real"].get("outputs", []), strict=False)):
        if mine.dtype.name != theirs["of"]:
            yield Difference("output", f"{index}: {mine.dtype.name}, real {theirs['of']}")
        real = unpacked(theirs)
        if gap(mine, real) > near:
            size = nudges.beyond(lambda one, index=index: one.outputs[index], mine, real)  # type: ignore[misc]
            if size > near:
                yield Difference("output", f"{index}: {size:.2g} apart")


def of_step(case: Case, found: Stepped, nudges: Nudges) -> Iterator[Difference]:
    """Compare loss and loss scale."""
    real, (near, _) = case["real"], TOLERANCES[case["plan"]["asked"]]
    loss = found.record.loss
    if gap(loss, real["loss"]) > near and nudges.beyond(lambda one: one.record.loss, loss, real["loss"]) > near:
        yield Difference("loss", f"{loss:.8g}, real {real['loss']:.8g}")
    if found.record.loss_scale != real["scale"]:
        yield Difference("scale", f"{found.record.loss_scale}, real {real['scale']}")
    if found.record.loss_scale_after != real["scale_after"]:
        yield Difference("scale", f"{found.record.loss_scale_after} after, real {real['scale_after']}")


def vanishes(case: Case, path: str) -> bool:
    """Whether the gradient of a variable is 0 but for rounding: what the library moves it by is rounding then.

    A key's bias shifts all scores of a query alike, and a softmax over one key, or equal ones, is always the same.
    """
    exact = gradients(case)
    own, most = exact.get(path, np.inf), max(exact.values())
    return own <= VANISHING * most


def gradients(case: Case) -> dict[str, float]:
    """Return the largest element of each variable's gradient in float64, without a loss scale."""
    job = {**job_of(case), "policy": "float64", "policy_scope": "all"}
    prepared = prepare(JobSpec.model_validate(job), Limits())
    model, trainer = prepared.model, prepared.trainer
    model.set_weights([unpacked(one) for one in case["weights"]])
    state = trainer.initial_state(dict(model.variables))
    updates = JoinedUpdates(model.optimizer.inner_optimizer, model.network.trainable_specs)
    settled = updates.settled(model.optimizer.inner_optimizer, state.variables, state.slots)
    with np.errstate(all="ignore"):
        rows = trainer.train.part(np.arange(len(trainer.train)))
        found = backward(model.network, model.compilation, settled, rows, 1.0, Noise(0, 1)).gradients
    sizes = [0.0 if one is None else float(np.abs(dense(one)).max(initial=0)) for one in found]
    return dict(zip([spec.path for spec in model.network.trainable_specs], sizes, strict=True))


def of_weights(case: Case, prepared: Prepared, found: Stepped, nudges: Nudges) -> Iterator[Difference]:
    """Compare the changes of the weights."""
    real, (_, near) = case["real"], TOLERANCES[case["plan"]["asked"]]
    for spec, array, dtype in zip(prepared.model.weight_specs, real["after"], real["variables"], strict=True):
        path = spec.path
        if spec.dtype.name != dtype:
            yield Difference("weight", f"{path}: {spec.dtype.name}, real {dtype}")
        mine, theirs = found.moves(path), unpacked(array).astype(np.float64) - found.before[path]
        if gap(mine, theirs) <= near:
            continue
        size = nudges.beyond(lambda one, path=path: one.moves(path), mine, theirs)  # type: ignore[misc]
        if size > near and not vanishes(case, path):
            most, real_most = (float(np.abs(one).max(initial=0)) for one in (mine, theirs))
            yield Difference("weight", f"{path}: {size:.2g} apart, moved {most:.3g}, real {real_most:.3g}")


def prepared_of(case: Case) -> Prepared:
    """Check the job of a case; raises as the service refuses it."""
    return prepare(JobSpec.model_validate(job_of(case)), Limits())


def differences(case: Case) -> Iterator[Difference]:
    """Yield everything that Halfstep does otherwise."""
    real = case["real"]
    try:
        prepared = prepared_of(case)
    except SpecError as error:
        yield Difference("refused", "; ".join(f"{one.code} {one.pointer} {one.message}" for one in error.errors))
        return
    except ValidationError as error:
        yield Difference("refused", str(error))
        return
    yield from of_layers(case, prepared)
    if real["stage"] != "done":
        yield Difference("real", f"{real['stage']}: {real['refused']}")
    if case["plan"]["noise"]:
        return
    unit = widest_unit(layer for _, layer in every_layer(prepared))
    found, nudges = stepped(case, prepared), Nudges(case, unit, lambda one, by: stepped(one, prepared_of(one), by))
    yield from of_outputs(case, found, nudges)
    if real["stage"] == "done":
        yield from of_step(case, found, nudges)
        yield from of_weights(case, prepared, found, nudges)
