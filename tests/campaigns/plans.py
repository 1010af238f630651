"""Models as data: a plan says which layers are called on what. Any of the libraries builds it, under any policy."""

from __future__ import annotations

from typing import Any

from tests.campaigns.libraries import Library

Plan = dict
"""`{"kind", "name", "inputs": [{"name", "shape", "dtype"}], "layers": {name: {"class_name", "config", "dtype"?}},
"calls": [{"layer", "of": [call names], "style", "options", "name"}], "outputs": [call names]}`.

A name of a call is that of an input, or of an earlier call. `style`: "one" tensor, a "list" of them, or several "args".
"""


def made(library: Library, spec: dict[str, Any]) -> Any:
    """Return the layer, or the nested model, that a plan's entry describes."""
    if "plan" in spec:
        return built(library, spec["plan"])
    config = dict(spec["config"])
    for key in ("layer", "backward_layer"):
        if key in config:
            config[key] = made(library, config[key])
    if "dtype" in spec:
        config["dtype"] = library.dtype_argument(spec["dtype"])
    return library.layer_class(spec["class_name"])(name=spec["name"], **config)


def called(layer: Any, call: dict[str, Any], tensors: dict[str, Any]) -> Any:
    """Return what a layer gives for the tensors of a call."""
    given = [tensors[name] for name in call["of"]]
    options = call.get("options", {})
    style = call.get("style", "one")
    if style == "one":
        return layer(given[0], **options)
    return layer(given, **options) if style == "list" else layer(*given, **options)


def entries(library: Library, plan: Plan) -> list[Any]:
    """Return the inputs of a plan, as the library's symbols."""
    return [library.keras.Input(tuple(one["shape"]), dtype=one["dtype"], name=one["name"]) for one in plan["inputs"]]


def built(library: Library, plan: Plan) -> Any:
    """Return the model of a plan, under the library's global policy."""
    keras, inputs = library.keras, entries(library, plan)
    layers = {name: made(library, {**spec, "name": name}) for name, spec in plan["layers"].items()}
    if plan["kind"] == "sequential":
        stack: list[Any] = [*inputs, *(layers[call["layer"]] for call in plan["calls"])]
        return keras.Sequential(stack, name=plan["name"])
    tensors = dict(zip([one["name"] for one in plan["inputs"]], inputs))  # noqa: B905  Python 3.8
    for call in plan["calls"]:
        tensors[call["name"]] = called(layers[call["layer"]], call, tensors)
    outputs = [tensors[name] for name in plan["outputs"]]
    several = {
        "inputs": inputs if len(inputs) > 1 else inputs[0],
        "outputs": outputs if len(outputs) > 1 else outputs[0],
    }
    return keras.Model(name=plan["name"], **several)
