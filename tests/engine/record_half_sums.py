"""Records sums of float16 numbers: ``python -m tests.engine.record_half_sums`` prints the JSON of one TensorFlow.

Needs TensorFlow (recorded with 2.4.4 and 2.21.0 on their CPU wheels), which is no dependency of the project. Both
go into ``tests/recorded/half_sums.json``, by version.
"""

import json
import sys

import tensorflow as tf

from tests.engine.half_sum_data import CASES, numbers


def main() -> None:
    """Print one list of sums for each case."""
    sums = []
    for shape, axis in CASES:
        found = tf.reduce_sum(tf.constant(numbers(shape)), axis=axis)
        sums.append(found.numpy().astype(float).ravel().tolist())
    sys.stdout.write(json.dumps({tf.__version__: sums}) + "\n")


if __name__ == "__main__":
    main()
