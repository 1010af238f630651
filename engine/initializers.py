"""First values of variables: frozen recipes that draw from the generator they are handed.

Sources: ``keras.initializers`` of TF 2.4 (names, keys, defaults, the truncation constant) and of Keras 3.15
(``input_axes`` and ``output_axes``, null in everything that Keras writes by itself). Numbers are not TensorFlow's:
the distribution is the same, the generator is numpy's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.configured import (
    Configured,
    any_integer,
    any_number,
    choose,
    not_negative,
    one_of,
    optional,
    refuse,
    serialized,
    setting,
    split_serialized,
    unsupported_unless,
)
from engine.conventions import Conventions
from engine.errors import ShapeMismatch, located

Float32Array = NDArray[np.float32]
Shape = tuple[int, ...]

TRUNCATED_STDDEV = 0.87962566103423978
"""Standard deviation of a standard normal number redrawn until it lies within [-2, 2]."""

_seed = optional(any_integer)


class Initializer(Configured):
    """Base: a function of a shape and a generator that returns a new float32 array."""

    def __call__(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        """Return first values.

        Args:
            shape: of the variable.
            rng: drawn from, unless the initializer has a ``seed`` of its own: then always the same values come.

        Raises:
            ShapeMismatch: the initializer makes matrices only.
        """
        self.check(shape)
        return self._values(shape, rng)

    def check(self, shape: Shape) -> None:
        """Refuse a shape that the initializer has no values for, before anything is allocated.

        Raises:
            ShapeMismatch: the initializer makes matrices only.
        """

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        raise AssertionError(f"{type(self).__name__} does not define its values")


@dataclass(frozen=True)
class Zeros(Initializer):
    """All zero."""

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return np.zeros(shape, np.float32)


@dataclass(frozen=True)
class Ones(Initializer):
    """All one."""

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return np.ones(shape, np.float32)


@dataclass(frozen=True)
class Constant(Initializer):
    """All ``value``."""

    value: float = setting(any_number, 0.0)

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return np.full(shape, self.value, np.float32)


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniform in [minval, maxval)."""

    minval: float = setting(any_number, -0.05)
    maxval: float = setting(any_number, 0.05)
    seed: int | None = setting(_seed, None)

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return _uniform(shape, self.minval, self.maxval, _generator(self.seed, rng))


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal with ``mean`` and ``stddev``."""

    mean: float = setting(any_number, 0.0)
    stddev: float = setting(not_negative, 0.05)
    seed: int | None = setting(_seed, None)

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return _normal(shape, self.mean, self.stddev, _generator(self.seed, rng))


@dataclass(frozen=True)
class TruncatedNormal(Initializer):
    """Normal with ``mean`` and ``stddev``, redrawn beyond two standard deviations: its own is 0.88 of ``stddev``."""

    mean: float = setting(any_number, 0.0)
    stddev: float = setting(not_negative, 0.05)
    seed: int | None = setting(_seed, None)

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return _truncated(shape, self.mean, self.stddev, _generator(self.seed, rng))


def _positive(key: str, value: Any) -> float:
    if not_negative(key, value) == 0:
        raise refuse(key, "a number above 0", value)
    return float(value)


def _distribution(key: str, value: Any) -> str:
    """Read a distribution; "normal" is the truncated one, as in Keras."""
    name = value.lower() if isinstance(value, str) else value
    known = one_of("uniform", "truncated_normal", "untruncated_normal")
    return str(known(key, "truncated_normal" if name == "normal" else name))


_no_axes = optional(unsupported_unless(None, why="fans are taken of the last two axes"))


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Variance ``scale / fan``, where the fan is that of the inputs, of the outputs or their mean."""

    scale: float = setting(_positive, 1.0)
    mode: str = setting(one_of("fan_in", "fan_out", "fan_avg"), "fan_in")
    distribution: str = setting(_distribution, "truncated_normal")
    seed: int | None = setting(_seed, None)
    input_axes: None = setting(_no_axes, None, only="keras3")
    output_axes: None = setting(_no_axes, None, only="keras3")

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return _scaled(shape, _generator(self.seed, rng), self.scale, self.mode, self.distribution)


@dataclass(frozen=True)
class _Fan(Initializer):
    """Base of the named kinds of variance scaling: all that is left to set is the seed."""

    scale: ClassVar[float]
    mode: ClassVar[str]
    distribution: ClassVar[str]

    seed: int | None = setting(_seed, None)
    input_axes: None = setting(_no_axes, None, only="keras3")
    output_axes: None = setting(_no_axes, None, only="keras3")

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return _scaled(shape, _generator(self.seed, rng), self.scale, self.mode, self.distribution)


@dataclass(frozen=True)
class GlorotUniform(_Fan):
    """Uniform, variance 2 / (inputs + outputs): the default of kernels."""

    scale, mode, distribution = 1.0, "fan_avg", "uniform"


@dataclass(frozen=True)
class GlorotNormal(_Fan):
    """Truncated normal, variance 2 / (inputs + outputs)."""

    scale, mode, distribution = 1.0, "fan_avg", "truncated_normal"


@dataclass(frozen=True)
class HeUniform(_Fan):
    """Uniform, variance 2 / inputs."""

    scale, mode, distribution = 2.0, "fan_in", "uniform"


@dataclass(frozen=True)
class HeNormal(_Fan):
    """Truncated normal, variance 2 / inputs."""

    scale, mode, distribution = 2.0, "fan_in", "truncated_normal"


@dataclass(frozen=True)
class LecunUniform(_Fan):
    """Uniform, variance 1 / inputs."""

    scale, mode, distribution = 1.0, "fan_in", "uniform"


@dataclass(frozen=True)
class LecunNormal(_Fan):
    """Truncated normal, variance 1 / inputs."""

    scale, mode, distribution = 1.0, "fan_in", "truncated_normal"


@dataclass(frozen=True)
class Orthogonal(Initializer):
    """``gain`` times a random orthogonal matrix; leading axes are rows, orthonormal in the shorter direction."""

    gain: float = setting(any_number, 1.0)
    seed: int | None = setting(_seed, None)

    def check(self, shape: Shape) -> None:
        """Refuse fewer than two axes."""
        if len(shape) < 2:
            raise ShapeMismatch(f"Orthogonal makes variables of two or more axes, but this one has shape {shape}.")

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        rows, columns = math.prod(shape[:-1]), shape[-1]
        square = _generator(self.seed, rng).standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(square)
        q *= np.sign(np.diag(r))  # without this the matrices are not spread evenly
        return (self.gain * (q.T if rows < columns else q)).reshape(shape).astype(np.float32)


@dataclass(frozen=True)
class Identity(Initializer):
    """``gain`` times the identity matrix, cut or filled with zeros where it is not square."""

    gain: float = setting(any_number, 1.0, only="keras2")

    def check(self, shape: Shape) -> None:
        """Refuse anything but two axes."""
        if len(shape) != 2:
            raise ShapeMismatch(f"Identity makes variables of two axes, but this one has shape {shape}.")

    def _values(self, shape: Shape, rng: np.random.Generator) -> Float32Array:
        return (self.gain * np.eye(shape[0], shape[1])).astype(np.float32)


def fans(shape: Shape) -> tuple[int, int]:
    """Return (inputs, outputs) that one weight of a variable connects; leading axes are the receptive field."""
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _generator(seed: int | None, rng: np.random.Generator) -> np.random.Generator:
    return rng if seed is None else np.random.Generator(np.random.Philox(key=seed % 2**128))


def _uniform(shape: Shape, low: float, high: float, rng: np.random.Generator) -> Float32Array:
    values = rng.random(shape, np.float32)
    values *= np.float32(high - low)
    values += np.float32(low)
    return values


def _normal(shape: Shape, mean: float, stddev: float, rng: np.random.Generator) -> Float32Array:
    values = rng.standard_normal(shape, np.float32)
    values *= np.float32(stddev)
    values += np.float32(mean)
    return values


def _truncated(shape: Shape, mean: float, stddev: float, rng: np.random.Generator) -> Float32Array:
    values = rng.standard_normal(math.prod(shape), np.float32)
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        values[outside] = rng.standard_normal(outside.size, np.float32)
        outside = outside[np.abs(values[outside]) > 2]
    values *= np.float32(stddev)
    values += np.float32(mean)
    return values.reshape(shape)


def _scaled(shape: Shape, rng: np.random.Generator, scale: float, mode: str, distribution: str) -> Float32Array:
    inputs, outputs = fans(shape)
    fan = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[mode]
    stddev = math.sqrt(scale / max(1.0, fan))
    if distribution == "uniform":
        limit = math.sqrt(3.0) * stddev
        return _uniform(shape, -limit, limit, rng)
    if distribution == "truncated_normal":
        return _truncated(shape, 0.0, stddev / TRUNCATED_STDDEV, rng)
    return _normal(shape, 0.0, stddev, rng)


_CLASSES: tuple[type[Initializer], ...] = (
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
    VarianceScaling,
    RandomUniform,
    RandomNormal,
    TruncatedNormal,
    Zeros,
    Ones,
    Constant,
    Orthogonal,
    Identity,
)

INITIALIZERS: Mapping[str, type[Initializer]] = MappingProxyType({cls.class_name: cls for cls in _CLASSES})
"""Every initializer by its class name."""


def _snake(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


_BY_NAME: Mapping[str, type[Initializer]] = MappingProxyType(
    {
        **{_snake(name): cls for name, cls in INITIALIZERS.items()},
        **INITIALIZERS,
        "zero": Zeros,
        "one": Ones,
        "uniform": RandomUniform,
        "normal": RandomNormal,
    }
)


def get(identifier: Any) -> Initializer | None:
    """Read an initializer: None, a name ("glorot_uniform", "GlorotUniform"), a serialized dict, or an Initializer.

    Raises:
        Unsupported: an unknown class or name.
        InvalidValue: not an identifier.
    """
    return None if identifier is None else read("identifier", identifier)


def read(key: str, identifier: Any) -> Initializer:
    """Read the initializer of a layer's setting ``key``, where null is not accepted; otherwise as ``get``."""
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, str):
        cls: type[Initializer] = choose("initializer", _BY_NAME, identifier)
        return cls()
    if isinstance(identifier, Mapping):
        return deserialize(identifier)
    raise refuse(key, "a name or a serialized initializer", identifier)


def deserialize(config: Mapping[str, Any]) -> Initializer:
    """Return the initializer that a serialized dict of Keras 2 or 3 describes."""
    name, inner = split_serialized("initializer", config)
    cls: type[Initializer] = choose("initializer", INITIALIZERS, name)
    with located("config"):
        return cls.from_config(inner)


def write(initializer: Initializer, conventions: Conventions) -> dict[str, Any]:
    """Return what ``get_config`` shows of an initializer."""
    return serialized(initializer, conventions, "keras.initializers")


serialize = write
