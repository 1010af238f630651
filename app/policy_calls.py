"""The part of the SDK that asks about policies, loss scales and optimizers; no job is needed, nothing is stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any


class PolicyCalls(ABC):
    """Calls of `/v1/policies*`, `/v1/loss-scales/*`, `/v1/optimizers/*` and `/v1/translate`.

    Further keyword arguments are members of the request (`dialect`, `to`, `loss_scale`, ...). Each raises `Invalid` if
    the request is at fault, with the error of the original in `errors`; only `validate_*` answer with a report then.
    """

    @abstractmethod
    def _json(self, method: str, url: str, **options: Any) -> dict[str, Any]: ...

    def policies(self) -> dict[str, Any]:
        """Return every policy, with the dialects that know it, and every dtype with its limits."""
        return self._json("GET", "/v1/policies")

    def validate_policy(self, policy: Any, **members: Any) -> dict[str, Any]:
        """Return whether something is a policy, and which: a name, or what any line of Keras wrote."""
        return self._json("POST", "/v1/policies/validate", json={"policy": policy, **members})

    def serialize_policy(self, policy: Any, **members: Any) -> dict[str, Any]:
        """Return a policy as a line of Keras writes it; `to` names another line than the policy's own."""
        return self._json("POST", "/v1/policies/serialize", json={"policy": policy, **members})

    def deserialize_policy(self, config: Any, **members: Any) -> dict[str, Any]:
        """Return the policy that a line of Keras reads, and what it drops."""
        return self._json("POST", "/v1/policies/deserialize", json={"config": config, **members})

    def validate_loss_scale(self, loss_scale: Any) -> dict[str, Any]:
        """Return whether something is a loss scale, and which."""
        return self._json("POST", "/v1/loss-scales/validate", json={"loss_scale": loss_scale})

    def serialize_loss_scale(self, loss_scale: Any) -> dict[str, Any]:
        """Return a loss scale as Keras writes it."""
        return self._json("POST", "/v1/loss-scales/serialize", json={"loss_scale": loss_scale})

    def deserialize_loss_scale(self, config: Any) -> dict[str, Any]:
        """Return the loss scale that Keras reads."""
        return self._json("POST", "/v1/loss-scales/deserialize", json={"config": config})

    def simulate(
        self,
        loss_scale: Any,
        *,
        rule: str | None = None,
        finite: Sequence[bool] | None = None,
        steps: Sequence[Sequence[Any]] | None = None,
        **members: Any,
    ) -> dict[str, Any]:
        """Return how a loss scale moves under the rule of a system.

        Args:
            loss_scale: as Keras says it, or the settings of the rule in its system's own words.
            rule: such as "torch"; None is TF 2.4's.
            finite: of each step, whether its gradients are; or instead
            steps: the gradients of each step; those that are not finite as "nan", "inf" and "-inf".
            members: further ones of the request.
        """
        body = {"loss_scale": loss_scale, "rule": rule, **members}
        given = {"finite": finite, "steps": steps}
        body |= {key: list(value) for key, value in given.items() if value is not None}
        return self._json("POST", "/v1/loss-scales/simulate", json=body)

    def serialize_optimizer(self, optimizer: Any, **members: Any) -> dict[str, Any]:
        """Return an optimizer as a line of Keras writes it; `to` names another line than the optimizer's own."""
        return self._json("POST", "/v1/optimizers/serialize", json={"optimizer": optimizer, **members})

    def deserialize_optimizer(self, config: Any, **members: Any) -> dict[str, Any]:
        """Return the optimizer that a line of Keras reads, and what it drops."""
        return self._json("POST", "/v1/optimizers/deserialize", json={"config": config, **members})

    def translate(self, config: Any, *, source: str, to: str, **members: Any) -> dict[str, Any]:
        """Return a precision setup of one system in another, with what is exact, approximate and dropped.

        Args:
            config: what the system `source` takes or writes.
            source: the system that the config is of.
            to: the system to write it for.
            members: further ones of the request, such as `fill`.
        """
        return self._json("POST", "/v1/translate", json={"from": source, "to": to, "config": config, **members})
