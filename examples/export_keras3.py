"""Write a job from a compiled Keras 3 model: `python export_keras3.py digits_keras3.json`, with Keras 3 installed."""

import json
import sys
from pathlib import Path

import keras

model = keras.Sequential(
    [
        keras.Input((64,), name="pixels"),
        keras.layers.Dense(64, activation="relu", name="hidden"),
        keras.layers.Dense(10, activation="softmax", name="digit"),
    ],
    name="digits",
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
job = {
    "model": json.loads(model.to_json()),
    "compile": model.get_compile_config(),
    "policy": "mixed_float16",
    "fit": {"batch_size": 32, "epochs": 3},
    "data": {"dataset": "digits"},
    "seed": 1,
}
Path(sys.argv[1]).write_text(json.dumps(job, indent=1) + "\n", encoding="utf-8")
