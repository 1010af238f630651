"""`.keras` and `.weights.h5` files of Keras 3: written so that Keras opens them, and read whoever wrote them."""

from worker.keras_files.archive import Loaded, read_model, write_model
from worker.keras_files.weights import read_weights, write_weights

__all__ = ["Loaded", "read_model", "read_weights", "write_model", "write_weights"]
