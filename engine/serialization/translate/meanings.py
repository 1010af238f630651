"""What each fact of a setup means, in words for a report."""

from collections.abc import Mapping
from types import MappingProxyType

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "compute_dtype": "the dtype of arithmetic",
        "variable_dtype": "the dtype of the weights that the optimizer updates",
        "casting": "what casts to the compute dtype",
        "output_dtype": "the dtype of results",
        "dtype_policy": "a policy of Keras 3 that says more than two dtypes",
        "scaling": "whether the loss is scaled, and whether the scale moves",
        "initial_scale": "the scale of the first step",
        "growth_factor": "what growing multiplies by",
        "backoff_factor": "what shrinking multiplies by",
        "growth_interval": "how many finite steps make the scale grow",
        "reached": "whether the count of finite steps may also lie beyond the interval",
        "restart": "what the count restarts from after a nonfinite step",
        "growth_guard": "whether a growth to infinity is left out",
        "cap": "the largest scale that growing reaches",
        "floor": "the smallest scale that shrinking reaches",
        "at_floor": "what happens at the smallest scale",
        "hysteresis": "how many nonfinite steps it takes to shrink",
        "refill": "what refills the hysteresis",
        "tolerance": "the share of nonfinite steps that does not yet shrink the scale",
        "checked": "whether nonfinite gradients are looked for",
        "skip_advances_iterations": "whether a skipped step counts as an iteration",
        "unscale": "whether gradients are divided, or multiplied by a reciprocal",
        "arithmetic": "the precision in which the scale moves",
        "flush_subnormals": "whether subnormal scales count as zero",
        "optimizer.class_name": "the optimizer inside",
        "state.loss_scale": "the scale of the next step",
        "state.counter": "the finite steps counted so far",
        "state.patience": "the nonfinite steps that may still pass without shrinking",
        "state.overflows": "the nonfinite steps since the last shrinking",
        "state.since_change": "the steps since the last change of scale",
    }
)
