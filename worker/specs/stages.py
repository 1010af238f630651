"""The stages of a check: each reads one part of a job through the engine, and notes what the engine refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from engine import callbacks, conventions, datasets, losses, metrics, optimizers
from engine.errors import EngineError
from engine.heads import flat
from engine.losses import Loss
from engine.model import Model, model_from_config
from engine.model_configs import read_layer
from engine.optimizers import AnyOptimizer
from engine.optimizers.wrapping import wrap
from engine.policy import Policy
from engine.policy_scope import Scope, Scoped, scoped
from engine.serialization.any_policy import read_policy as read_any_policy
from engine.training import FitOptions
from worker.settings import Limits
from worker.specs.errors import pointer_to
from worker.specs.findings import Findings
from worker.specs.job import FileData
from worker.specs.places import reachable
from worker.specs.resources import check_layer_count
from worker.specs.samples import Samples, read_samples
from worker.specs.sources import NO_FILES, Sources, read_file

FIT_KEYS = ("batch_size", "epochs", "validation_split")
NEEDS_SHAPE = "missing_shape"
AMBIGUOUS = "ambiguous_path"
_SAME_AS_POLICY = {"DTypePolicy": "Policy", "FloatDTypePolicy": "Policy"}
"""Keras 3's classes are plain policies under other names."""


def read_policy(findings: Findings) -> Policy | None:
    """Return the policy of the model: the job's, else the one that the model config names, else float32."""
    place, given = policy_place(findings)
    if isinstance(given, Mapping):
        name = given["class_name"]
        given = {"class_name": _SAME_AS_POLICY.get(name, name), "config": given["config"]}
    before = len(findings.errors)
    with findings.at(*place):
        policy = read_any_policy(given)
        check_trainable(findings, policy, place)
    return policy if len(findings.errors) == before else None


def policy_place(findings: Findings) -> tuple[tuple[str, ...], Any]:
    """Return where the policy of the model stands, and what is written there."""
    body = findings.body
    place: tuple[str, ...] = ("policy",)
    if "policy" not in body and body["model"]["config"].get("dtype") is not None:
        place = ("model", "config", "dtype")
    given: Any = body
    for key in place:
        given = given.get(key)
    return place, given


def policy_scope(body: Mapping[str, Any]) -> Scope:
    """Return which layers follow the policy; without a policy they keep the dtypes that they name."""
    scope: Scope = body.get("policy_scope", "auto")
    return "unset" if scope == "auto" and body.get("policy") is None else scope


def scoped_model(body: Mapping[str, Any]) -> Scoped:
    """Return the model of a job without the dtypes that the policy of the job replaces."""
    return scoped(body["model"], policy_scope(body))


def check_trainable(findings: Findings, policy: Policy, place: tuple[str | int, ...]) -> None:
    """Note a policy that does not compute and keep variables in floating point."""
    if policy.compute_dtype is None or not (policy.compute.is_floating and policy.variable.is_floating):
        text = (
            f"Policy {policy.name!r} computes in {policy.compute_dtype or 'no dtype of its own'}; training needs a "
            "floating-point one such as 'mixed_float16', 'bfloat16' or 'float32'."
        )
        findings.add("policy_not_trainable", text, *place)


def read_fit(findings: Findings) -> FitOptions | None:
    """Return the options of `fit`; a null batch size is Keras's default."""
    given = findings.body.get("fit", {})
    options = {key: given[key] for key in FIT_KEYS if given.get(key) is not None}
    before = len(findings.errors)
    for key, value in options.items():
        with findings.at("fit"):
            FitOptions(**{key: value})
    called = []
    for index, item in enumerate(given.get("callbacks") or ()):
        with findings.at("fit", "callbacks", index):
            called.append(callbacks.get(item))
    if len(findings.errors) > before:
        return None
    # A job whose loss is lost ends with its error code rather than burn the rest of its steps.
    return FitOptions(
        **options,
        shuffle=given.get("shuffle", True),
        terminate_on_nonfinite=True,
        class_weight={int(label): weight for label, weight in (given.get("class_weight") or {}).items()} or None,
        callbacks=tuple(called),
    )


def read_data(findings: Findings, limits: Limits, sources: Sources = NO_FILES) -> Samples | None:
    """Return the data of the job."""
    data = findings.body["data"]
    with findings.at(*data_place(findings)):
        if "file" in data:
            return read_file(FileData.model_validate(data), sources)
        if "dataset" not in data:
            given = (data["x"], data["y"], data.get("sample_weight"))
            return read_samples(*given, rows=limits.inline_rows, values=limits.inline_values)
        found = datasets.load(data["dataset"])
        return Samples(found.x, found.y)
    return None


def data_place(findings: Findings) -> tuple[str, ...]:
    """Return under which path faults of the arrays belong."""
    data = findings.body["data"]
    return next((("data", key) for key in ("dataset", "file") if key in data), ("data",))


def read_model(findings: Findings, limits: Limits, policy: Policy, samples: Samples | None) -> Model | None:
    """Return the model, not compiled; no variable exists."""
    if not check_layer_count(findings, limits):
        return None
    config = scoped_model(findings.body).config
    line = conventions.of(config)
    before = len(findings.errors)
    for index, layer in enumerate(config["config"]["layers"]):
        with findings.at("model", "config", "layers", index):
            read_layer(layer, line)
    if len(findings.errors) > before:
        return None
    shape = samples.input_shape if samples else None
    with findings.at("model"):
        return model_from_config(config, policy, line, input_shape=shape, policy_scope="unset")
    _blame_the_map(findings, before)
    if samples is None:
        # The data would have told the shape; its own fault is noted already.
        findings.errors[before:] = [error for error in findings.errors[before:] if error.code != NEEDS_SHAPE]
    return None


def _blame_the_map(findings: Findings, since: int) -> None:
    """Move the fault of a map, several of whose keys match one layer, from the model to the policy."""
    place, _ = policy_place(findings)
    for index, error in enumerate(findings.errors[since:], since):
        if error.code == AMBIGUOUS:
            moved = pointer_to(reachable(findings.body, (*place, "config", "policy_map")))
            findings.errors[index] = replace(error, pointer=moved)


def _check_wrapping(findings: Findings, model: Model, optimizer: AnyOptimizer) -> None:
    """Note a loss scale of the policy that no optimizer can be wrapped with; the optimizer itself has passed."""
    switch = findings.body["compile"].get("auto_scale_loss", True)
    try:
        wrap(optimizer, model.policy, model.network.conventions, auto_scale_loss=switch)
    except EngineError as error:
        findings.add(error.code, error.message, "policy", "config", "loss_scale")


def compile_model(findings: Findings, model: Model | None) -> bool:
    """Compile the model, or without one read the parts of `compile` that need none; return whether it is compiled."""
    given = findings.body["compile"]
    line = model.network.conventions if model else conventions.of(findings.body["model"])
    before = len(findings.errors)
    with findings.at("compile", "optimizer"):
        optimizer = optimizers.get(given.get("optimizer", optimizers.DEFAULT), line)
        if model is not None:
            _check_wrapping(findings, model, optimizer)
    loss: Loss | None = None
    for path, item in flat((), given["loss"]):
        with findings.at("compile", "loss", *path):
            loss = losses.get(item, line)
            if loss.reduction in {"none", None}:
                text = 'Training needs one number a batch: the loss must be reduced, by "sum_over_batch_size" or "sum".'
                findings.add("loss_not_reduced", text, "compile", "loss", *path, "config", "reduction")
    for key in ("metrics", "weighted_metrics"):
        for path, metric in flat((), given.get(key)):
            with findings.at("compile", key, *path):
                metrics.get(metric, loss, 1, line)
    if model is None or len(findings.errors) > before:
        return False
    with findings.at("compile"):
        model.compile(
            given.get("optimizer", optimizers.DEFAULT),
            given["loss"],
            given.get("metrics") or (),
            loss_weights=given.get("loss_weights"),
            weighted_metrics=given.get("weighted_metrics"),
            auto_scale_loss=given.get("auto_scale_loss", True),
        )
    return len(findings.errors) == before
