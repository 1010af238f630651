"""Updates that float16 and bfloat16 variables would swallow: rounded by chance, or with what was lost kept for later.

Both compute the update in float32, and differ in how the sum comes back to the grid of the variable. Slots are rounded
to nearest. Float32 and wider variables are updated as ever.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from engine.dtypes import DType
from engine.rounding import round_stochastically
from engine.tape import Array, rounded

SLOT = "compensation"
NEAREST, STOCHASTIC, KAHAN = "nearest", "stochastic", "kahan"
UPDATE_ROUNDINGS = (NEAREST, STOCHASTIC, KAHAN)

Return: TypeAlias = Callable[[Array, Array, DType, Mapping[str, Array], np.random.Generator], None]
"""``(variable, wanted, dtype, slots, generator)``: writes the variable, and its compensation if there is one."""


def generator(seed: int, count: int, path: str) -> np.random.Generator:
    """Return the draws of one update of one variable: a function of these, so that any step can be repeated."""
    return np.random.Generator(np.random.Philox(key=seed, counter=[0, zlib.crc32(path.encode()), count, 2]))


def _by_chance(
    variable: Array, wanted: Array, dtype: DType, slots: Mapping[str, Array], draws: np.random.Generator
) -> None:
    np.copyto(variable, round_stochastically(wanted, dtype, draws.random(variable.shape)))


def _compensated(
    variable: Array, wanted: Array, dtype: DType, slots: Mapping[str, Array], draws: np.random.Generator
) -> None:
    """Add what earlier updates lost (Kahan 1965); the slot holds what the variable has too much."""
    lost = slots[SLOT]
    change = (wanted - variable) - lost
    after = rounded(variable + change, dtype)
    np.copyto(lost, rounded((after - variable) - change, dtype))
    np.copyto(variable, after)


RETURNS: Mapping[str, Return] = MappingProxyType({STOCHASTIC: _by_chance, KAHAN: _compensated})
"""How a sum in float32 comes back to the grid of its variable."""
