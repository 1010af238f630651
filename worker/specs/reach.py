"""Which layers follow the policy that was asked for, as answers show it."""

from __future__ import annotations

from pydantic import Field

from engine.policy_scope import PolicyReach
from worker.specs.shape import Spec


class KeptShape(Spec):
    """A layer that does not follow the policy."""

    layer: str = Field(description="Its name; `encoder/dense` in a nested model or a wrapper.", examples=["head"])
    policy: str = Field(description="Name of the policy that it has instead.", examples=["float32"])
    why: str = Field(description="The reason, and what changes it.")


class ReachShape(Spec):
    """What a policy reaches."""

    policy: str = Field(description="Name of the policy that was asked for.", examples=["mixed_float16"])
    layers: int = Field(description="Layers that compute: all but InputLayers and operations.", examples=[3])
    followed: int = Field(description="How many of them follow the policy.", examples=[2])
    kept: tuple[KeptShape, ...] = Field(default=(), description="The layers that do not.")

    @classmethod
    def of(cls, reach: PolicyReach) -> ReachShape:
        """Return the shape of a reach."""
        kept = tuple(KeptShape(layer=row.layer, policy=row.policy, why=row.why) for row in reach.kept)
        return cls(policy=reach.policy, layers=reach.layers, followed=reach.followed, kept=kept)
