"""Records which masks the libraries' layers hand on: ``PYTHON -m tests.engine.record_masks LIBRARY``.

It adds its answers to `data/masks.json`: by case and library the mask of the output, or null where there is none, and
whether the inputs still have theirs. Runs in the libraries' own interpreters: Python 3.8 for TF 2.4.
Cases that a library does not have, or refuses, are left out.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaigns.libraries import Library

RECORD = Path(__file__).parent / "data" / "masks.json"
IDS = {"x": [[1, 2, 0, 3], [4, 0, 0, 0]], "y": [[1, 0, 2, 3], [4, 1, 0, 0]]}
"""Sequences of which 0 is masked out; `z` is `x` without a mask."""
WIDTH = 4
ONE = {
    "Identity": {},
    "Rescaling": {"scale": 2.0},
    "Normalization": {"mean": 0.0, "variance": 1.0},
    "EinsumDense": {"equation": "abd,de->abe", "output_shape": [None, 3]},
    "UnitNormalization": {},
    "GroupNormalization": {"groups": 2},
    "LayerNormalization": {},
    "RMSNormalization": {},
    "BatchNormalization": {},
    "SpatialDropout1D": {"rate": 0.0},
    "Dropout": {"rate": 0.1},
    "GaussianNoise": {"stddev": 0.0},
    "Reshape": {"target_shape": [4, 4]},
    "Permute": {"dims": [1, 2]},
    "PReLU": {},
    "ActivityRegularization": {"l2": 0.1},
    "Activation": {"activation": "relu"},
    "Dense": {"units": 2},
    "UpSampling1D": {"size": 1},
    "Cropping1D": {"cropping": 0},
    "ZeroPadding1D": {"padding": 0},
    "Conv1D": {"filters": 2, "kernel_size": 1},
    "MaxPooling1D": {"pool_size": 1},
    "LSTM": {"units": 2, "return_sequences": True},
    "GlobalAveragePooling1D": {},
}
TWO = {
    "Add": {},
    "Subtract": {},
    "Multiply": {},
    "Maximum": {},
    "Average": {},
    "Concatenate": {},
    "Dot": {"axes": 2},
    "Attention": {},
    "AdditiveAttention": {},
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 2},
    "GroupQueryAttention": {"head_dim": 2, "num_query_heads": 4, "num_key_value_heads": 2},
}
ARGUMENTS = ("MultiHeadAttention", "GroupQueryAttention")
"""They take their inputs one by one, not as a list."""
CASES = [(name, config, "x") for name, config in ONE.items()]
CASES += [(name, config, inputs) for name, config in TWO.items() for inputs in ("xy", "xz", "zx")]
CASES += [("Concatenate", {"axis": 1}, inputs) for inputs in ("xy", "xz")]


def title(name: str, config: Any, inputs: str) -> str:
    """Return the name of a case."""
    return " ".join([name, *("{}={}".format(*item) for item in config.items()), inputs])


def main(name: str) -> None:
    """Ask one library."""
    library = Library(name)
    layers = library.keras.layers
    masked, plain = layers.Embedding(6, WIDTH, mask_zero=True), layers.Embedding(6, WIDTH)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    for class_name, config, inputs in CASES:
        # Each case has tensors of its own: MultiHeadAttention of Keras 3 takes the masks off those that it is given.
        given = [plain(np.array(IDS["x"])) if key == "z" else masked(np.array(IDS[key])) for key in inputs]
        found = record.setdefault(title(class_name, config, inputs), {})
        found.pop(name, None)
        try:
            layer = library.layer_class(class_name)(**config)
            output = layer(*given) if len(given) == 1 or class_name in ARGUMENTS else layer(given)
        except library.refusals:
            continue
        mask = getattr(output, "_keras_mask", None)
        found[name] = {
            "mask": None if mask is None else np.asarray(mask).astype(int).tolist(),
            "left": [getattr(x, "_keras_mask", None) is not None for x in given],
        }
    RECORD.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
