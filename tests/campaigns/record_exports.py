"""Records what `to_json()` prints: ``PYTHON -m tests.campaigns.record_exports keras3 tests/recorded/exports``.

Libraries: keras3, tf_keras (recorded with 3.15.1 and 2.21.0) and tf2.4 (2.4.4). Each kind of model is exported plain,
built under the global policy `mixed_float16` with a float32 head, and plain with one layer that has its own policy.
Beside them stands what the library itself computes in, layer by layer, for the same model built under other policies;
or the class of the exception, where it has no kernels for that.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.campaigns.libraries import Library

POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "float64")
OWN = {"keras3": "mixed_bfloat16", "tf_keras": "mixed_bfloat16", "tf2.4": "float64"}
"""TF 2.4 has no bfloat16 kernels for recurrent layers."""
VARIANTS = {
    "float32": ("float32", False, None),
    "mixed_float16_float32_head": ("mixed_float16", False, "float32"),
    "float32_own_layer": ("float32", True, None),
}
"""The global policy of the export, whether the layer `own` has its policy, and the one of the head."""


class Builder:
    """Makes models whose layer `own` and whose head may have policies of their own."""

    def __init__(self, library: Library, own: str | None, head: str | None) -> None:
        self.library, self.keras, self.layers = library, library.keras, library.keras.layers
        self.own = self.dtype(own)
        self.of_head = self.dtype(head)

    def dtype(self, name: str | None) -> dict[str, Any]:
        return {} if name is None else {"dtype": self.library.policy(name)}

    def head(self, units: int = 3) -> Any:
        return self.layers.Dense(units, activation="softmax", name="head", **self.of_head)

    def mlp(self) -> Any:
        layers = self.layers
        return self.keras.Sequential(
            [
                self.keras.Input((8,), name="row"),
                layers.Dense(8, activation="relu", kernel_regularizer="l2", name="hidden"),
                layers.BatchNormalization(name="norm"),
                layers.Dense(6, name="own", **self.own),
                layers.Dropout(0.1, name="drop"),
                self.head(),
            ],
            name="mlp",
        )

    def cnn(self) -> Any:
        layers = self.layers
        return self.keras.Sequential(
            [
                self.keras.Input((8, 8, 1), name="image"),
                layers.Conv2D(4, 3, activation="relu", name="conv"),
                layers.MaxPooling2D(name="pool"),
                layers.Conv2D(4, 2, padding="same", name="own", **self.own),
                layers.GlobalAveragePooling2D(name="mean"),
                self.head(),
            ],
            name="cnn",
        )

    def branch(self) -> Any:
        layers = self.layers
        entry = self.keras.Input((8,), name="row")
        shared = layers.Dense(6, activation="tanh", name="shared")
        left, right = shared(entry), shared(layers.Dense(8, name="own", **self.own)(entry))
        joined = layers.Concatenate(name="joined")([layers.Add(name="sum")([left, right]), left])
        return self.keras.Model(entry, self.head()(joined), name="branch")

    def nested(self) -> Any:
        layers = self.layers
        inner_entry = self.keras.Input((8,), name="inner_row")
        inner = layers.LayerNormalization(name="inner_norm")(layers.Dense(5, name="own", **self.own)(inner_entry))
        encoder = self.keras.Model(inner_entry, inner, name="encoder")
        tail = self.keras.Sequential(
            [self.keras.Input((5,), name="tail_row"), layers.Dense(4, activation="relu", name="tail_dense")],
            name="tail",
        )
        entry = self.keras.Input((8,), name="row")
        return self.keras.Model(entry, self.head()(tail(encoder(entry))), name="nested")

    def wrappers(self) -> Any:
        layers = self.layers
        entry = self.keras.Input((6, 8), name="steps")
        x = layers.TimeDistributed(layers.Dense(5, name="inside"), name="each")(entry)
        x = layers.Bidirectional(layers.LSTM(3, return_sequences=True, name="lstm"), name="both")(x)
        x = layers.GRU(4, name="own", **self.own)(x)
        return self.keras.Model(entry, self.head()(x), name="wrappers")

    def attention(self) -> Any:
        layers = self.layers
        tokens = self.keras.Input((6,), dtype="int32", name="tokens")
        x = layers.Embedding(20, 8, name="embedding")(tokens)
        seen = layers.MultiHeadAttention(2, 4, name="own", **self.own)(x, x)
        x = layers.LayerNormalization(name="norm")(layers.Add(name="sum")([x, seen]))
        return self.keras.Model(tokens, self.head()(layers.GlobalAveragePooling1D(name="mean")(x)), name="attention")


KINDS = ("mlp", "cnn", "branch", "nested", "wrappers", "attention")


def main(name: str, folder: Path) -> None:
    """Write every kind of model in every variant, and what they compute in under other policies."""
    library, line = Library(name), name.replace(".", "")
    computes: dict[str, Any] = {}
    for kind in KINDS:
        for variant, (policy, has_own, head) in VARIANTS.items():
            own = OWN[name] if has_own else None
            library.begin(policy)
            model = getattr(Builder(library, own, head), kind)()
            export = f"{line}__{kind}__{variant}"
            (folder / f"{export}.json").write_text(json.dumps(json.loads(model.to_json()), indent=1) + "\n")
            computes[export] = {}
            for asked in (policy, *(asked for asked in POLICIES if asked != policy)):
                library.begin(asked)
                try:
                    built = getattr(Builder(library, own, head), kind)()
                except library.refusals as refusal:
                    computes[export][asked] = type(refusal).__name__
                    continue
                computes[export][asked] = {layer.name: library.compute_dtype(layer) for layer in library.every(built)}
    text = json.dumps(computes, indent=1, sort_keys=True) + "\n"
    (folder / f"computes_{line}.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
