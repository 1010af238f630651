"""Keras's global dtype policy as a value: what is set replaces nothing, it returns the next value.

Source: ``global_policy``, ``set_policy`` in ``tensorflow.python.keras.mixed_precision.policy`` and ``set_floatx`` in
``tensorflow.python.keras.backend_config`` of TF 2.4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.errors import InvalidValue
from engine.policy import Policy

FLOATX = ("float16", "float32", "float64")
"""The dtypes that ``set_floatx`` accepts."""


@dataclass(frozen=True)
class GlobalPolicy:
    """The policy of layers that are given none.

    Attributes:
        chosen: what ``set_policy`` set, or None for the policy named like ``floatx``.
        floatx: Keras's default float.
    """

    chosen: Policy | None = None
    floatx: str = "float32"

    @property
    def current(self) -> Policy:
        """The policy that a layer without one gets."""
        return Policy(self.floatx) if self.chosen is None else self.chosen

    def set_policy(self, policy: Any) -> GlobalPolicy:
        """Return the global policy after ``set_policy``.

        Args:
            policy: a policy or the name of one; None goes back to ``floatx``.

        Raises:
            InvalidType, InvalidValue: no policy has that name, or it does not compute in floats.
        """
        chosen = policy if policy is None or isinstance(policy, Policy) else Policy(policy)
        if chosen is not None and chosen.compute_dtype is not None and not chosen.compute.is_floating:
            raise InvalidValue(
                'set_policy can only be used to set the global policy to floating-point policies, such as "float32" '
                f'and "mixed_float16", but got policy: {chosen.name}',
                code="not_floating",
            )
        return replace(self, chosen=chosen)

    def set_floatx(self, floatx: Any) -> GlobalPolicy:
        """Return the global policy after ``set_floatx``.

        Raises:
            InvalidValue: none of ``FLOATX``.
        """
        if floatx not in FLOATX:
            raise InvalidValue(f"Unknown floatx type: {floatx}", code="unknown_floatx")
        return replace(self, floatx=floatx)
