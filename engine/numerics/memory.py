"""How many bytes a model takes in training, by what they are for; exact integers, and nothing is allocated.

Counted are numbers in the dtype in which Keras on an accelerator holds them (2 bytes for float16 and bfloat16; this
engine itself holds each in 4):

weights        every variable, in its own dtype
weight_copies  the copies in the compute dtype that a mixed policy makes of variables for every pass
slots          what the optimizer keeps, in the dtype of each variable, and what it keeps once for all
gradients      one of each trainable variable, in its dtype; those of embeddings count in full
activations    the batch itself and the output of every call of a layer, in its dtype; an axis of unknown size counts 1

Not counted: what ops keep inside a layer, the code, the loss scale and its counter (12 bytes).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from engine.dtypes import FLOAT32, DType
from engine.network import Network
from engine.numerics.plan import CallPlan, plan_of_calls
from engine.numerics.subject import Subject
from engine.optimizers import Optimizer
from engine.policy import Policy
from engine.weights import WeightSpec

POLICIES = ("float32", "mixed_float16", "mixed_bfloat16", "float16", "bfloat16")
"""The policies that a model is counted under, beside its own."""


@dataclass(frozen=True, slots=True)
class Bytes:
    """Bytes of a model in training; see the module for what is counted.

    Attributes:
        weights: of all variables.
        weight_copies: of variables cast for a pass.
        slots: of the optimizer.
        gradients: of one step.
        activations: of one step.
    """

    weights: int
    weight_copies: int
    slots: int
    gradients: int
    activations: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.weight_copies + self.slots + self.gradients + self.activations


def memory_of(subject: Subject) -> Mapping[str, Bytes]:
    """Return the bytes of a model under its own policy, then under each of ``POLICIES``, by the policy's name.

    Layers that name a dtype of their own keep it under every policy. Without a known optimizer, slots are 0.
    """
    optimizer = None if subject.optimizer is None else subject.optimizer.inner_optimizer
    counted = {subject.policy.name: bytes_of(subject.network, optimizer, subject.batch_size)}
    for name in POLICIES:
        if name not in counted:
            counted[name] = bytes_of(subject.under(Policy(name)), optimizer, subject.batch_size)
    return counted


def bytes_of(network: Network, optimizer: Optimizer | None, batch_size: int) -> Bytes:
    """Return the bytes of a network.

    Args:
        network: the model.
        optimizer: what updates it, without a wrapper; None keeps nothing.
        batch_size: rows of a step.
    """
    plans = plan_of_calls(network)
    trainable = network.trainable_specs
    return Bytes(
        weights=sum(spec.size * width(spec.dtype) for spec in network.weight_specs),
        weight_copies=sum(_copies(plans).values()),
        slots=0 if optimizer is None else _slots(optimizer, trainable),
        gradients=sum(spec.size * width(spec.dtype) for spec in trainable),
        activations=sum(_outputs(plan, batch_size) for plan in plans),
    )


def width(dtype: DType) -> int:
    """Return the bytes of one number."""
    return dtype.bits // 8


def _copies(plans: tuple[CallPlan, ...]) -> dict[str, int]:
    read = {spec.path: (spec, plan.call.layer.read_dtype(spec)) for plan in plans for spec in plan.call.weights}
    return {path: spec.size * width(dtype) for path, (spec, dtype) in read.items() if dtype is not spec.dtype}


def _slots(optimizer: Optimizer, trainable: tuple[WeightSpec, ...]) -> int:
    shared = sum(array.size for array in optimizer.shared_slots(trainable).values())
    first = trainable[0].dtype if trainable else FLOAT32
    return shared * width(first) + sum(
        math.prod(shape) * width(spec.dtype) for spec in trainable for shape in optimizer.kept_shapes(spec).values()
    )


def _outputs(plan: CallPlan, batch_size: int) -> int:
    rows = sum(math.prod(size or 1 for size in shape[1:]) for shape in plan.call.output_shapes)
    return batch_size * rows * width(plan.output)
