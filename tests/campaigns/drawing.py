"""Random small models as plans. Runs in the libraries' own interpreters: Python 3.8 for TF 2.4."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.campaigns import settings
from tests.campaigns.draws import Draw
from tests.campaigns.libraries import NAMES, Library
from tests.campaigns.plans import Plan, called, made
from tests.campaigns.training import drawn_head, drawn_optimizer

POLICIES = ("mixed_float16", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float64", "float32")
EXPORTED = ("float32", "float32", "float32", "float32", "mixed_float16", "mixed_float16", "mixed_bfloat16", "float64")
OWN = ("float32", "mixed_float16", "mixed_bfloat16", "float64", "float16")
MERGES = ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "Average", "Concatenate", "Dot")
TOKENS = 12
MOST_VALUES = 600
"""Of one tensor and one row."""
MOST_PARAMETERS = 2500
"""Of a layer, and after which no layer is added; a head of four numbers has them for most values."""
TRIES = 8
FORGETFUL = ("SpatialDropout1D", "SpatialDropout2D")
"""Keras 3 does not export their policies: they get none of their own."""


class Drawer:
    """Draws one plan, call by call; the library's symbols tell the shapes, and refuse what does not fit."""

    def __init__(self, library: Library, draw: Draw, *, prefix: str = "") -> None:
        self.library, self.draw, self.prefix = library, draw, prefix
        self.plan: Plan = {"kind": "functional", "inputs": [], "layers": {}, "calls": [], "outputs": []}
        self.tensors: dict[str, Any] = {}
        self.made: dict[str, Any] = {}

    def shape(self, name: str) -> Any:
        """Return the shape of a tensor, without the batch axis."""
        return tuple(self.tensors[name].shape)[1:]

    def entry(self, shape: Any, dtype: str = "float32", kind: str = "normal") -> str:
        """Add an input; return its name."""
        name = f"{self.prefix}in{len(self.plan['inputs'])}"
        self.plan["inputs"].append({"name": name, "shape": list(shape), "dtype": dtype, "kind": kind})
        self.tensors[name] = self.library.keras.Input(tuple(shape), dtype=dtype, name=name)
        return name

    def add(self, class_name: str, config: Any, *of: str, **more: Any) -> str | None:
        """Add a layer and its call; return the name of the call, or None where the library refuses it."""
        if self.library.layer_class(class_name) is None and "plan" not in more:
            return None
        name = f"{self.prefix}l{len(self.plan['layers'])}"
        spec = {"class_name": class_name, "config": config}
        if "plan" in more:
            spec = {"plan": {**more.pop("plan"), "name": name}}
        try:
            layer = made(self.library, {**spec, "name": name})
            return self.call(name, spec, layer, *of, **more)
        except self.library.refusals:
            return None

    def call(self, name: str, spec: Any, layer: Any, *of: str, **more: Any) -> str | None:
        """Call a layer, old or new."""
        call = {"layer": name, "of": list(of), "name": f"{self.prefix}c{len(self.plan['calls'])}", **more}
        output = called(layer, call, self.tensors)
        if isinstance(output, (list, tuple)):
            return None
        sizes = tuple(output.shape)[1:]
        known = all(isinstance(size, int) and size > 0 for size in sizes)
        if not sizes or not known or int(np.prod(sizes)) > MOST_VALUES or len(sizes) > 3:
            return None
        if layer.count_params() > MOST_PARAMETERS:
            return None
        self.tensors[call["name"]] = output
        self.plan["layers"][name], self.made[name] = spec, layer
        self.plan["calls"].append(call)
        return str(call["name"])

    def table(self, shape: Any) -> Any:
        """Return the makers of the layers that take an input of this shape, the rank's own ones as often as all."""
        own = settings.BY_RANK[len(shape)]
        return self.draw.one((settings.ANY, own))

    def plain(self, x: str, table: Any = None) -> str:
        """Return the output of a random layer."""
        shape = self.shape(x)
        for _ in range(TRIES):
            makers = table or self.table(shape)
            name = self.draw.one(sorted(makers))
            config = makers[name](self.draw, shape)
            frozen = {"trainable": False} if self.draw.some(0.04) else {}
            found = None if config is None else self.add(name, {**config, **frozen}, x)
            if found:
                return found
        return x

    def wrapped(self, x: str) -> str:
        """Return the output of TimeDistributed or Bidirectional."""
        shape = self.shape(x)
        if len(shape) == 2 and shape[0] <= 8 and self.draw.some(0.5):
            name = self.draw.one(("LSTM", "GRU", "SimpleRNN"))
            inner = settings.recurrent(self.draw, name, sequences=self.draw.some(0.5))
            inner.pop("go_backwards", None)
            config: dict[str, Any] = {"layer": {"class_name": name, "name": f"{x}_wrapped", "config": inner}}
            config["merge_mode"] = self.draw.one(("concat", "sum", "ave", "mul"))
            return self.add("Bidirectional", config, x) or x
        if len(shape) < 2:
            return x
        table = self.table(shape[1:]) if len(shape) > 2 else settings.ANY
        for _ in range(TRIES):
            name = self.draw.one(sorted(table))
            own = table[name](self.draw, shape[1:])
            if own is None or self.library.layer_class(name) is None:
                continue
            found = self.add(
                "TimeDistributed", {"layer": {"class_name": name, "name": f"{x}_wrapped", "config": own}}, x
            )
            if found:
                return found
        return x

    def nested(self, x: str) -> str:
        """Return the output of a nested model."""
        inner = Drawer(self.library, self.draw, prefix=f"{self.prefix}m{len(self.plan['layers'])}_")
        y = entry = inner.entry(self.shape(x))
        for _ in range(self.draw.number(1, 3)):
            y = inner.stage(y, inside=True)
        if y == entry:
            return x
        inner.plan["outputs"] = [y]
        inner.settle(0.3)
        return self.add("Model", {}, x, plan=inner.plan) or x

    def projected(self, x: str, units: int) -> str | None:
        """Return a Dense of a tensor, with a shape that a merge can rely on."""
        return self.add("Dense", {"units": units, **self.draw.activation(0.4)}, x)

    def merged(self, x: str) -> str:
        """Return a merge of two branches, or of two uses of a shared layer."""
        draw, shape = self.draw, self.shape(x)
        units = draw.number(2, 6)
        a = self.projected(x, units)
        if a is None:
            return x
        if draw.some(0.3):  # the same layer once more, on a tensor of the same shape
            other = self.add("Activation", {"activation": draw.one(("tanh", "relu"))}, x)
            name = self.plan["calls"][-2]["layer"]
            b = self.call(name, self.plan["layers"][name], self.made[name], other) if other else None
        else:
            b = self.projected(x, units)
        if b is None:
            return a
        if draw.some(0.3):
            b = self.plain(b, {key: settings.ANY[key] for key in settings.KEPT_SHAPES})
        name = draw.one(MERGES)
        config: dict[str, Any] = {}
        if name == "Concatenate" and len(shape) > 1 and draw.some(0.3):
            config["axis"] = 1
        if name == "Dot":
            config = {"axes": -1 if len(shape) == 1 else draw.one((1, 2)), "normalize": draw.some(0.4)}
        return self.add(name, config, a, b, style="list") or a

    def attended(self, x: str) -> str:
        """Return attention of a sequence to itself, or to a projection of it."""
        draw, library = self.draw, self.library
        width = self.shape(x)[-1]
        other = x if draw.some(0.5) else self.projected(x, width) or x
        name = draw.one(("Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention"))
        if name in {"Attention", "AdditiveAttention"}:
            config: dict[str, Any] = {"use_scale": draw.some(0.5)}
            if draw.some(0.2) and library.is_tf24:
                config["causal"] = True
            return self.add(name, config, x, other, style="list") or x
        options = {"use_causal_mask": True} if draw.some(0.2) and not library.is_tf24 else {}
        if name == "GroupQueryAttention":
            config = {"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2}
        else:
            config = {"num_heads": 2, "key_dim": draw.number(2, 3), **draw.activity()}
        config["use_bias"] = draw.some(0.8)
        return self.add(name, config, x, other, style="args", options=options) or x

    def stage(self, x: str, *, inside: bool = False, line: bool = False) -> str:
        """Return the output of one more part of the model.

        Args:
            x: what it takes.
            inside: of a nested model, which has none inside itself here.
            line: of a Sequential model, where every layer takes the output of the one before.
        """
        chance = self.draw.rng.random()
        if chance < 0.12:
            return self.wrapped(x)
        if chance < 0.17 and not inside:
            return self.nested(x)
        if chance < 0.37 and not line:
            return self.merged(x)
        if chance < 0.5 and not line and len(self.shape(x)) == 2:
            return self.attended(x)
        return self.plain(x)

    def settle(self, share: float) -> None:
        """Make it Sequential where the calls are a line."""
        before = [self.plan["inputs"][0]["name"], *(call["name"] for call in self.plan["calls"])]
        straight = all(call["of"] == [name] for call, name in zip(self.plan["calls"], before))  # noqa: B905
        once = len({call["layer"] for call in self.plan["calls"]}) == len(self.plan["calls"])
        if len(self.plan["inputs"]) == 1 and self.plan["outputs"] == [before[-1]] and straight and once:
            self.plan["kind"] = "sequential" if self.draw.some(share) else "functional"


def _begun(drawer: Drawer) -> str:
    draw = drawer.draw
    kind = draw.one(("row", "steps", "tokens", "image", "image"))
    if kind == "tokens":
        entry = drawer.entry((draw.number(3, 6),), "int32", "tokens")
        config = {"input_dim": TOKENS, "output_dim": draw.number(2, 5), "mask_zero": draw.some(0.4)}
        config.update(draw.weighted("embeddings", initializers=False))
        return drawer.add("Embedding", config, entry) or entry
    if kind == "steps":
        entry = drawer.entry((draw.number(4, 7), draw.number(2, 4)), kind="padded")
        return drawer.add("Masking", {"mask_value": 0.0}, entry) or entry if draw.some(0.3) else entry
    if kind == "image":
        return drawer.entry((draw.number(4, 7), draw.number(4, 6), draw.number(1, 3)))
    return drawer.entry((draw.number(3, 8),))


def _reduced(drawer: Drawer, x: str) -> str:
    """Return one vector a row."""
    rank = len(drawer.shape(x))
    if rank == 1:
        return x
    pools = {2: ("GlobalAveragePooling1D", "GlobalMaxPooling1D"), 3: ("GlobalAveragePooling2D", "GlobalMaxPooling2D")}
    name = drawer.draw.one((*pools[rank], "Flatten"))
    return drawer.add(name, {}, x) or drawer.add("Flatten", {}, x) or x


def _dtypes(plan: Plan, draw: Draw, heads: list[str]) -> None:
    """Settle the policy of the export, the one that is asked for, and those of single layers."""
    plan["exported"], plan["asked"] = draw.one(EXPORTED), draw.one(POLICIES)
    own = {}
    if draw.some(0.45):
        own.update(dict.fromkeys(heads, "float32"))
    forgetful = draw.library == "keras3"
    plain = [
        name
        for name, spec in plan["layers"].items()
        if "plan" not in spec and name not in heads and not (forgetful and spec["class_name"] in FORGETFUL)
    ]
    if plain and draw.some(0.25):
        own[draw.one(plain)] = draw.one(OWN)
    for name, policy in own.items():
        if policy != plan["exported"]:
            plan["layers"][name]["dtype"] = policy


def drawn(library: Library, seed: int) -> Plan:
    """Return a random plan: a model, what it is exported and asked under, and how it is trained."""
    draw = Draw(np.random.default_rng([seed, NAMES.index(library.name)]), library.name)
    library.begin("float32")
    line = draw.some(0.35)
    draw.noise = draw.some(0.08)
    drawer = Drawer(library, draw)
    x = _begun(drawer)
    for _ in range(draw.number(2, 6)):
        x = drawer.stage(x, line=line)
        if sum(layer.count_params() for layer in drawer.made.values()) > MOST_PARAMETERS:
            break
    middle = x
    if not (len(drawer.shape(x)) == 2 and draw.some(0.25)):
        x = _reduced(drawer, x)
        if not line and draw.some(0.15):
            other = drawer.plain(drawer.entry((draw.number(2, 4),)), {"Dense": settings.ANY["Dense"]})
            x = drawer.add("Concatenate", {}, x, other, style="list") or x
    heads, losses = drawn_head(drawer, x)
    if not line and draw.some(0.15):
        more, extra = drawn_head(drawer, _reduced(drawer, middle))
        heads, losses = heads + more, losses + extra
    plan = drawer.plan
    # The inputs come in the order in which they were added; one that leads nowhere would not be part of the model.
    plan["outputs"] = heads
    drawer.settle(1.0 if line else 0.0)
    _dtypes(plan, draw, [call["layer"] for call in plan["calls"] if call["name"] in heads])
    plan.update(name="drawn", losses=losses, optimizer=drawn_optimizer(draw), noise=draw.noise)
    plan["rows"] = draw.number(4, 8)
    plan["weighted"] = draw.some(0.15)
    return plan
