"""What a job would need, held against the limits with Python's unbounded integers: nothing is allocated."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from engine.graph import Outline
from engine.model import Model
from engine.nested import Nested
from engine.network import Network
from engine.training import FitOptions
from worker.settings import Limits
from worker.specs.extent import extent_of
from worker.specs.findings import Findings
from worker.specs.outputs import measures_of
from worker.specs.products import multiply_adds
from worker.specs.samples import Samples, by_place
from worker.specs.working import working_values

CODE = "resource_limit"
Place: TypeAlias = tuple[str | int, ...]


def check_size(findings: Findings, limits: Limits, shown: Mapping[str, Any]) -> None:
    """Note a job that takes too many bytes, at its largest part.

    Args:
        findings: where to note it.
        limits: the limits.
        shown: the job without the data inside it.
    """
    sizes = {key: len(json.dumps(value)) for key, value in shown.items()}
    total = sum(sizes.values())
    if total > limits.spec_bytes:
        text = (
            f"The job takes {total:,} bytes without the data inside it; the limit is {limits.spec_bytes:,}. Long lists "
            "of numbers in a model belong into its weights."
        )
        findings.add(CODE, text, max(sizes, key=lambda key: sizes[key]))


def check_layer_count(findings: Findings, limits: Limits) -> bool:
    """Note a model of too many layers or calls; return whether it may be read."""
    extent = extent_of(findings.body["model"])
    tensors = limits.max_calls * TENSORS_A_CALL
    for count, most, what in (
        (extent.layers, limits.max_layers, "layers"),
        (extent.calls, limits.max_calls, f"calls of layers{_WITH_MODELS}"),
        (extent.tensors, tensors, f"tensors that calls take or it gives{_WITH_MODELS}"),
    ):
        if count > most:
            text = f"The model has {_count(count)} {what}; the limit is {most:,}."
            findings.add(CODE, text, "model", "config", "layers")
            return False
    return True


TENSORS_A_CALL = 8
"""Tensors that a call takes on average where a model is at the limit of calls; all but a few layers take one or two."""
_WITH_MODELS = ", those of models in it counted at each of their calls"


def check_fit(findings: Findings, limits: Limits, fit: FitOptions, rows: int) -> None:
    """Note too many epochs, steps, or rows a step.

    Args:
        findings: where to note it.
        limits: the limits.
        fit: the options of the job.
        rows: samples to train on, at least 1.
    """
    if fit.epochs > limits.max_epochs:
        findings.add(CODE, f"`epochs` is {_count(fit.epochs)}; the limit is {limits.max_epochs:,}.", "fit", "epochs")
        return
    steps = -(-rows // fit.batch_size) * fit.epochs
    if steps > limits.max_steps:
        text = (
            f"The job has {_count(steps)} steps ({fit.epochs} epochs over {rows} samples in batches of "
            f"{fit.batch_size}); the limit is {limits.max_steps:,}. Lower `epochs` or raise `batch_size`."
        )
        findings.add(CODE, text, "fit", "epochs")
    if min(fit.batch_size, rows) > limits.max_batch_size:
        text = f"A step would take {min(fit.batch_size, rows)} samples; the limit is {limits.max_batch_size:,}."
        findings.add(CODE, text, "fit", "batch_size")


def check_network(findings: Findings, limits: Limits, network: Network, batch: int) -> None:
    """Note too many parameters, or too many values that one step holds.

    Args:
        findings: where to note it.
        limits: the limits.
        network: the model.
        batch: samples of one step.
    """
    places = layer_places(network)
    parameters = {call.layer.name: sum(spec.size for spec in call.weights) for call in network.graph.calls}
    outputs = _values_of_step(network, batch)
    _note(findings, parameters, limits.max_parameters, "parameters", places, "Use smaller layers.")
    hint = f"Use smaller layers or a `batch_size` below {batch}." if batch > 1 else "Use smaller layers."
    _note(findings, outputs, limits.max_activation_values, f"values in a step of {batch} samples", places, hint)


def _values_of_step(network: Network, batch: int) -> dict[str | None, int]:
    """Return how many values a step holds, by layer."""
    outputs = {layer.name: 0 for layer in network.layers}
    for call in network.graph.calls:
        outputs[call.layer.name] += batch * sum(math.prod(size or 1 for size in s[1:]) for s in call.output_shapes)
        outputs[call.layer.name] += working_values(call.layer, call.input_shapes, batch)
    return outputs


BASE_BYTES = 1 << 30
"""For what does not depend on the job: libraries that are loaded late, buffers, threads, what metrics keep."""
COPIES_OF_PARAMETERS, COPIES_OF_VALUES, COPIES_OF_DATA = 16, 16, 6
"""How often a job may hold them: slots, gradients and saved weights; what is kept for the way back, and the float64
twin of a step that is looked into; the rows as they came, as they enter, shuffled and weighted."""


def needed_bytes(model: Model, samples: Samples, batch: int) -> int:
    """Return the most memory that the training of a checked job may take, in bytes; most take a third of it.

    Args:
        model: compiled.
        samples: the data.
        batch: samples of one step.
    """
    values = sum(_values_of_step(model.network, batch).values())
    widest = max((spec.dtype.storage.itemsize for spec in model.weight_specs), default=4)
    arrays = (samples.x, samples.y, samples.weights)
    data = sum(array.nbytes for given in arrays for array in by_place("", given).values())
    copies = COPIES_OF_PARAMETERS * model.count_params() + COPIES_OF_VALUES * values
    return BASE_BYTES + widest * copies + COPIES_OF_DATA * max(data, 1)


def check_work(findings: Findings, limits: Limits, network: Network, batch: int, validation: int) -> None:
    """Note a step, or a pass over the validation rows, that computes too much.

    Args:
        findings: where to note it.
        limits: the limits.
        network: the model.
        batch: samples of one step, and of one batch of the validation.
        validation: rows of the validation.
    """
    step = multiply_adds(network.graph.calls, batch)
    if step > limits.max_step_multiply_adds:
        text = (
            f"A step of {batch} samples takes about {_count(step)} multiply-adds; the limit is "
            f"{limits.max_step_multiply_adds:,}. Use smaller layers, or a smaller `batch_size`."
        )
        findings.add(CODE, text, *(("fit", "batch_size") if batch > 1 else ("model",)))
    whole, rest = divmod(validation, batch)
    passes = whole * step + (multiply_adds(network.graph.calls, rest) if rest else 0)
    if passes > limits.max_validation_multiply_adds:
        text = (
            f"The validation of each epoch takes about {_count(passes)} multiply-adds for {validation:,} samples in "
            f"batches of {batch}, a call of a layer counted as a million at least; the limit is "
            f"{limits.max_validation_multiply_adds:,}. Keep fewer rows for it, or raise `batch_size`."
        )
        findings.add(CODE, text, "fit", "validation_split")


def check_metrics(findings: Findings, limits: Limits, model: Model) -> None:
    """Note a metric that would keep more numbers than a model may have.

    Args:
        findings: where to note it.
        limits: the limits.
        model: compiled.
    """
    for measure in measures_of(model, findings.body["compile"]):
        metric = measure.metric
        kept = sum(math.prod(shape) for shape in metric.shapes(model.output_shapes[measure.output]).values())
        if kept > limits.max_parameters:
            text = (
                f"{metric.class_name} would keep {_count(kept)} numbers; the limit is {limits.max_parameters:,}. "
                "Use fewer thresholds, classes or labels."
            )
            findings.add(CODE, text, *measure.place)


def _note(
    findings: Findings, amounts: Mapping[Any, int], most: int, what: str, places: Mapping[Any, Any], hint: str
) -> None:
    total = sum(amounts.values())
    if total <= most:
        return
    name = max(amounts, key=lambda layer: amounts[layer])
    text = f"The model has {_count(total)} {what}, {_count(amounts[name])} of them in layer {name!r};"
    findings.add(CODE, f"{text} the limit is {most:,}. {hint}", *places.get(name, ("model",)))


def layer_places(network: Network) -> dict[str | None, Place]:
    """Return where in the job each layer stands; in a Sequential model the engine may have put an input before."""
    return dict(_places(network.outline, ("model",), ""))


def _places(outline: Outline, outer: Place, scope: str) -> Iterator[tuple[str, Place]]:
    for index, member in enumerate(outline.members):
        name, place = f"{scope}{member.name}", (*outer, "config", "layers", max(index - outline.made_up, 0))
        yield name, place
        if isinstance(member, Nested):
            yield from _places(member.outline, place, f"{name}/")


def _count(number: int) -> str:
    """Return a count for a message; Python refuses to print very long integers."""
    return f"{number:,}" if number.bit_length() < 256 else f"about 2^{number.bit_length() - 1}"
