"""What of a model cannot be trained here, though the engine can read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from engine.graph import Call
from engine.layers import InputLayer, Layer, Softmax
from engine.model import Model
from engine.nested import Nested
from engine.numerics.refusals.uses import uses_of
from worker.specs.entries import check_entries
from worker.specs.findings import Findings
from worker.specs.places import reachable
from worker.specs.resources import layer_places
from worker.specs.stages import check_trainable

Place: TypeAlias = tuple[str | int, ...]


def check_graph(findings: Findings, model: Model) -> None:
    """Note open axes, dtypes that do not train, and a loss that no variable reaches.

    Args:
        findings: where to note it.
        model: as read; it need not be compiled.
    """
    given = [shape for call in model.network.graph.calls for shape in call.output_shapes]
    if any(size is None for shape in given for size in shape[1:]):
        text = "The model leaves an axis other than the batch open (null); name its size, so that the job can be sized."
        findings.add("open_shape", text, "model")
    if not any(spec.trainable for call in _before_output(model) for spec in call.weights):
        text = (
            "No variable that training would change leads to the output; add a layer with weights, or set `trainable`."
        )
        findings.add("nothing_to_train", text, "model")
    places = layer_places(model.network)
    for layer in model.network.layers:
        if not isinstance(layer, InputLayer):
            for inner, place in _nested(layer, places.get(layer.name, ("model",)), findings.body):
                with findings.at(*place, "config", "dtype"):
                    check_trainable(findings, inner.policy, (*place, "config", "dtype"))
    check_entries(findings, model.network, places)
    _check_initializers(findings, model, places)
    _check_masks(findings, model, places)


def _before_output(model: Model) -> list[Call]:
    """Return the calls that the outputs depend on."""
    calls = model.network.graph.calls
    waiting, found = [call for call, _ in model.network.graph.outputs], set()
    while waiting:
        index = waiting.pop()
        if index not in found:
            found.add(index)
            waiting.extend(source for source, _ in calls[index].sources)
    return [calls[index] for index in sorted(found)]


def _nested(layer: Layer, place: Place, body: Any) -> Iterator[tuple[Layer, Place]]:
    """Yield a layer and the layers in it that the job names, with their places."""
    yield layer, place
    for key in ("layer", "backward_layer"):
        inside = (*place, "config", key)
        inner = getattr(layer, key, None)
        if inner is not None and reachable(body, (*inside, "config")) == (*inside, "config"):
            yield from _nested(inner, inside, body)
    if isinstance(layer, Nested):
        for member in layer.inner_layers():
            yield from _nested(member, (*place, *layer.outline.path_of((member.name or "").rpartition("/")[2])), body)


def _check_initializers(findings: Findings, model: Model, places: dict[str | None, Place]) -> None:
    for call in model.network.graph.calls:
        place = (*places.get(call.layer.name, ("model",)), "config")
        for spec in call.weights:
            # "recurrent_kernel" starts from `recurrent_initializer`, "kernel" from `kernel_initializer`.
            key = f"{spec.name.rpartition('/')[2].removesuffix('_kernel')}_initializer"
            with findings.at(*place, *((key,) if hasattr(call.layer, key) else ())):
                spec.initializer.check(spec.shape)


def _check_masks(findings: Findings, model: Model, places: dict[str | None, Place]) -> None:
    """Note masks that a Softmax cannot take, which every line of Keras refuses when the model is made."""
    for use in uses_of(model.network):
        carried = use.masked[:1] == (True,) and not use.given_mask
        if isinstance(use.layer, Softmax) and carried and use.rank > 2:
            text = (
                f"A mask of steps, (batch, steps), reaches Softmax {use.layer.name!r}, whose input has {use.rank} "
                "axes: "
                "Keras adds the mask to the input, and the shapes do not fit. Put the Softmax before the Masking or "
                'the Embedding with `mask_zero`, or use Activation "softmax", which passes the mask on.'
            )
            findings.add("shape_mismatch", text, *places.get(use.layer.name, ("model",)))
