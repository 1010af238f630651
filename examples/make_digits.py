"""Make ``engine/data/digits.npz`` from scikit-learn's copy of the UCI handwritten digits.

Needs scikit-learn, which nothing else here does: ``pip install scikit-learn && python examples/make_digits.py``.
Where the data comes from and its licence: ``engine/data/ATTRIBUTION.md``.
"""

import hashlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits  # type: ignore[import-untyped]

TARGET = Path(__file__).parent.parent / "engine" / "data" / "digits.npz"


def main() -> None:
    """Write the file and print what is in it."""
    images, labels = load_digits(return_X_y=True)
    pixels = images.astype(np.uint8)
    if not np.array_equal(pixels, images):
        raise SystemExit("The pixels are not whole numbers: this is not the data set that the engine expects.")
    np.savez_compressed(TARGET, x=pixels, y=labels.astype(np.uint8))
    digest = hashlib.sha256(TARGET.read_bytes()).hexdigest()
    print(f"{TARGET}: {pixels.shape[0]} images of {pixels.shape[1]} pixels, sha256 {digest}")


if __name__ == "__main__":
    main()
