"""What Keras 3.15.1 and tf_keras 2.21.0 refuse on TensorFlow 2.21: observed on CPU, recorded in ``tests/recorded``."""

from __future__ import annotations

from engine.numerics.refusals.refusal import Library

KERAS_3 = Library("Keras 3.15.1 on TensorFlow 2.21", (), ())
TF_KERAS = Library("tf_keras 2.21 on TensorFlow 2.21", (), ())
