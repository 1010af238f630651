"""Adapters of the training groups A to E: what each kind of case does with the engine."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

TrainAdapter: TypeAlias = Callable[[dict[str, Any], Mapping[str, np.ndarray]], list[str]]
"""Takes a case and its arrays, returns a line per difference; raises ``NotBuilt`` for what the engine lacks."""

KINDS: Mapping[str, TrainAdapter] = {}
"""The adapter of each kind of training case; kinds that are not here count as unsupported."""
