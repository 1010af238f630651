"""Records what float16 kernels give: ``python -m tests.engine.record_narrow_kernels`` prints the JSON of a TensorFlow.

Needs TensorFlow (recorded with 2.4.4 and 2.21.0 on their CPU wheels), which is no dependency of the project. Both
go into ``tests/recorded/narrow_kernels.json``, by version.
"""

import json
import sys

import tensorflow as tf

from tests.engine.narrow_kernel_data import ACTIVATIONS, PRODUCTS, entering, operands


def main() -> None:
    """Print the gradient of a kernel of a convolution for each product, and each activation with its gradient."""
    products = []
    for shape in PRODUCTS:
        left, right = operands(shape)
        rows, terms, columns = shape
        found = tf.raw_ops.Conv2DBackpropFilter(
            input=tf.reshape(tf.transpose(tf.constant(left)), (1, 1, terms, rows)),
            filter_sizes=[1, 1, rows, columns],
            out_backprop=tf.reshape(tf.constant(right), (1, 1, terms, columns)),
            strides=[1, 1, 1, 1],
            padding="VALID",
        )
        products.append(_listed(found))
    x, gradient = (tf.constant(array) for array in entering())
    activations = {}
    for name in ACTIVATIONS:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = getattr(tf.nn, name)(x)
        activations[name] = [_listed(y), _listed(tape.gradient(y, x, output_gradients=gradient))]
    sys.stdout.write(json.dumps({tf.__version__: {"products": products, "activations": activations}}) + "\n")


def _listed(tensor):
    return tensor.numpy().astype(float).ravel().tolist()


if __name__ == "__main__":
    main()
