"""What of a model cannot be trained here, though the engine can read it."""

from __future__ import annotations

from typing import TypeAlias

from engine.graph import Call
from engine.layers import InputLayer
from engine.model import Model
from worker.specs.findings import Findings
from worker.specs.resources import layer_places
from worker.specs.stages import check_trainable

Place: TypeAlias = tuple[str | int, ...]


def check_graph(findings: Findings, model: Model) -> None:
    """Note more than one input or output, open axes, dtypes that do not train, and a loss that no variable reaches.

    Args:
        findings: where to note it.
        model: as read; it need not be compiled.
    """
    for what, shapes in (("inputs", model.input_shapes), ("outputs", model.output_shapes)):
        if len(shapes) != 1:
            text = f"Training takes models of one input and one output; this one has {len(shapes)} {what}."
            findings.add("unsupported", text, "model")
    given = [shape for call in model.network.graph.calls for shape in call.output_shapes]
    if any(size is None for shape in given for size in shape[1:]):
        text = "The model leaves an axis other than the batch open (null); name its size, so that the job can be sized."
        findings.add("open_shape", text, "model")
    if not any(spec.trainable for call in _before_output(model) for spec in call.weights):
        text = (
            "No variable that training would change leads to the output; add a layer with weights, or set `trainable`."
        )
        findings.add("nothing_to_train", text, "model")
    places = layer_places(model.network, findings.body["model"])
    for layer in model.network.layers:
        place = (*places.get(layer.name, ("model",)), "config")
        if not isinstance(layer, InputLayer):
            with findings.at(*place, "dtype"):
                check_trainable(findings, layer.policy, (*place, "dtype"))
        elif not layer.input_dtype.is_floating:
            text = f"The model takes {layer.input_dtype.name} data; no layer of this version starts from integers."
            findings.add("unsupported", text, *place, "dtype")
    _check_initializers(findings, model, places)


def _before_output(model: Model) -> list[Call]:
    """Return the calls that the first output depends on."""
    calls = model.network.graph.calls
    waiting, found = [model.network.graph.outputs[0][0]], set()
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting.extend(source for source, _ in calls[index].sources)
    return [calls[index] for index in sorted(found)]


def _check_initializers(findings: Findings, model: Model, places: dict[str | None, Place]) -> None:
    for spec in model.network.weight_specs:
        layer = spec.path.rpartition("/")[0]
        with findings.at(*places.get(layer, ("model",)), "config", f"{spec.name}_initializer"):
            spec.initializer.check(spec.shape)
