"""What every layer is: a frozen config, the weights it wants, the shape it returns, and a call.

A layer holds no arrays. Its weights live in the TrainState and reach a call through a :class:`~engine.run.Run`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np

from engine import configured, ops
from engine.configured import Configured, dimensions, optional, setting, text
from engine.conventions import TF24, Conventions
from engine.dtypes import DType
from engine.errors import InvalidType, ShapeMismatch, Unsupported
from engine.initializers import Initializer
from engine.layered_policy import Float8Policy
from engine.layers import entering
from engine.layers.dtype_argument import read_dtype, write_dtype
from engine.layers.entering import Integers
from engine.policy import Policy
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Array, Tensor, constant
from engine.weights import WeightSpec

Shape = tuple[int | None, ...]
MANY = 10**6
"""As many inputs as anyone wants."""
Shapes = Shape | list[Shape]
"""One output shape, or a list of them."""


@dataclass(frozen=True, kw_only=True)
class Layer(Configured):
    """Base of all layers. Source: ``keras.layers.Layer``.

    Attributes:
        name: unique in a model; containers fill it in as Keras does ("dense", "dense_1").
        trainable: whether its trainable weights are updated; a frozen BatchNormalization infers.
        dtype: its policy; containers fill in the model's where none is given.
        batch_input_shape: Keras 2's way to give the first layer its input shape, batch axis included.
        autocast: whether floating inputs are cast to the compute dtype. Keras forgets it when it writes a config.
        conventions: the line of Keras it behaves like; not part of the config.
    """

    name: str | None = setting(optional(text), None)
    trainable: bool = setting(configured.boolean, True)
    dtype: Policy | None = setting(read_dtype, None, write=write_dtype)
    batch_input_shape: Shape | None = setting(optional(dimensions), None, only="set")
    autocast: bool = setting(configured.boolean, True, only="set")
    conventions: Conventions = TF24
    merges: ClassVar[bool] = False
    """Whether the first argument is a list of tensors, all of which are cast."""
    arity: ClassVar[tuple[int, int]] = (1, 1)
    """The least and the most tensors that it can be called with."""
    arguments: ClassVar[tuple[str, ...]] = ()
    """Arguments that are tensors, by the names under which a config may give them, in their order."""
    options: ClassVar[tuple[str, ...]] = ("training",)
    """Arguments that are true or false, which a config may fix."""
    origin: ClassVar[tuple[str, str | None]] = ("keras.layers", None)
    """Module and registered name that Keras 3 writes beside its class."""
    is_model: ClassVar[bool] = False
    """Whether it is a model used as a layer, whose layers look up their policies themselves."""
    first_call: ClassVar[int] = 0
    """The number that Keras 2 gives to the first of its calls in a config."""
    multiplies_in_float8: ClassVar[bool] = False
    """Whether a float8 policy means something to it; the others follow the policy beneath."""
    supports_masking: ClassVar[bool | Literal["keras3"]] = False
    """Whether the mask of the input is the mask of the output; of some layers in Keras 3 only."""
    integers: ClassVar[Integers] = "kept"
    """What becomes of integers in Keras 3, where autocasting leaves them alone: the call takes them as they are,
    converts them to the compute dtype, or has no kernel for them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.dtype, Float8Policy) and not self.multiplies_in_float8:
            text = (
                f"{self.class_name} does not compute in float8, in Keras neither; only Dense and EinsumDense do. "
                f"Give it the dtype {self.dtype.plain.name!r}, or leave its dtype out."
            )
            raise Unsupported(text, code="no_float8", path=("dtype",))

    @property
    def policy(self) -> Policy:
        """The dtype policy.

        Raises:
            InvalidType: none is set yet; models set theirs.
        """
        if self.dtype is None:
            raise InvalidType(f"Layer {self.name!r} has no dtype policy yet; pass dtype=, or put it into a model.")
        return self.dtype

    def placed(self, name: str, policy: Policy) -> Self:
        """Return the layer with its name and policy filled in where they were left open."""
        fitting = policy if self.multiplies_in_float8 else policy.plain
        return dataclasses.replace(self, name=self.name or name, dtype=self.dtype or fitting)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Return the variables wanted for inputs of these shapes (batch axis first), in Keras's order."""
        return ()

    def compute_output_shape(self, *shapes: Shape) -> Shapes:
        """Return the shape of the output, or a list of them, for inputs of these shapes (batch axis first)."""
        return shapes[0]

    def call(self, run: Run, *inputs: Tensor) -> Any:
        """Compute the output, or a list of them; inputs arrive in the compute dtype."""
        raise AssertionError(f"{self.class_name} does not define a call")

    def __call__(
        self, run: Run, *inputs: Any, mask: Array | None = None, training: bool | None = None, **keywords: Any
    ) -> Any:
        """Cast the inputs to the compute dtype, call, add the activity penalty, and hand the mask on.

        Only floating inputs are cast; TF 2.4 casts only the first argument, Keras 3 all of them.

        Args:
            run: the forward pass.
            inputs: tensors, arrays or numbers; those of a merging layer are its list.
            mask: which steps of the first input count; by default the mask that it carries.
            training: behave as in training or not, whatever the run says.
            keywords: other arguments of the layer's call.

        Returns:
            A tensor, or a list of them where the layer has several outputs.
        """
        run.enter(self.name or self.class_name)
        casts = len(inputs) if self.conventions.autocast_all_arguments or self.merges else 1
        given = [entering.as_tensors(x, self.conventions.floatx) for x in inputs]
        cast = [self._entered(x) if index < casts else x for index, x in enumerate(given)]
        if self.conventions.autocast_all_arguments:
            keywords = {key: self._entered(value) for key, value in keywords.items()}
        if mask is not None:
            cast[0] = Tensor(cast[0].data, cast[0].dtype, cast[0].node)
            cast[0].mask = np.asarray(mask, dtype=bool)
        kept = self.output_mask(*cast)
        if training is None:
            output = self.call(run, *cast, **keywords)
        else:
            with run.behaving(training):
                output = self.call(run, *cast, **keywords)
        run.leave(output)
        regularizer: Regularizer | None = getattr(self, "activity_regularizer", None)  # a setting of some layers
        if regularizer is not None:
            # Keras divides the penalty by the batch size and keeps it in the dtype of the output.
            penalty = regularizer(output, run.conventions)
            run.add_loss(ops.divide(penalty, constant(output.shape[0], penalty.dtype)))
        return self._masked(output, kept)

    def _entered(self, argument: Any) -> Any:
        """Return an argument with the tensors in it cast as the layer casts them."""
        return entering.mapped(self._entering, argument)

    def entering_dtypes(self, *dtypes: DType) -> tuple[DType, ...]:
        """Return the dtypes in which inputs of these dtypes reach the call (autocasting)."""
        casts = len(dtypes) if self.conventions.autocast_all_arguments or self.merges else 1
        return (*(self.entering_dtype(dtype) for dtype in dtypes[:casts]), *dtypes[casts:])

    def entering_dtype(self, dtype: DType) -> DType:
        """Return the dtype to which an input of a dtype is cast (autocasting).

        Raises:
            InvalidType: integers, for which TensorFlow has no kernel of this kind.
        """
        if dtype.kind in ("int", "uint") and self.conventions.keras3:
            return self._of_integers(dtype)
        return self.policy.compute if self.autocast and entering.casts(dtype, self.policy) else dtype

    def _of_integers(self, dtype: DType) -> DType:
        if self.integers == "refused":
            raise InvalidType(
                f"{self.class_name} {self.name!r} takes no {dtype.name}: TensorFlow has no kernel for it. Put a layer "
                "before it that converts, such as Rescaling, or give the InputLayer a float dtype.",
                code="kernel_dtype",
            )
        return self.converted(dtype) if self.integers == "cast" else dtype

    def converted(self, dtype: DType) -> DType:
        """Return the compute dtype, for inputs that autocasting leaves alone; "_infer" has none yet."""
        return dtype if self.policy.compute_dtype is None else self.policy.compute

    def output_dtype(self, *entered: DType) -> DType:
        """Return the dtype of the output, for inputs that reach the call in these dtypes."""
        return entered[0]

    def read_dtype(self, spec: WeightSpec) -> DType:
        """Return the dtype in which the call reads one of this layer's variables."""
        compute = self.policy.compute
        return compute if compute.is_floating and spec.dtype.is_floating else spec.dtype

    def inner_layers(self) -> tuple[Layer, ...]:
        """Return the layers inside this one, under the names that their variables have."""
        return ()

    def _entering(self, x: Tensor) -> Tensor:
        return _cast(x, self.entering_dtype(x.dtype))

    def settled(self, argument: Any) -> Self:
        """Return the layer as it is after its first call: the policy "_infer" has become the dtype of the argument."""
        policy = entering.settled(self.policy, argument)
        return self if policy is self.policy else dataclasses.replace(self, dtype=policy)

    def output_mask(self, *inputs: Tensor) -> Array | None:
        """Return the mask of the output: the first input's, where the layer keeps the steps apart."""
        return inputs[0].mask if self.keeps_mask and inputs else None

    @property
    def keeps_mask(self) -> bool:
        """Whether the mask of the input is the mask of the output in its line of Keras."""
        return self.conventions.keras3 if self.supports_masking == "keras3" else self.supports_masking

    @staticmethod
    def _masked(output: Any, mask: Array | None) -> Any:
        if not isinstance(output, Tensor) or output.mask is mask:
            return output
        # The output may be an input, or belong to another layer: the mask goes onto a tensor of its own.
        marked = Tensor(output.data, output.dtype, output.node)
        marked.logits, marked.mask = output.logits, mask
        return marked

    def path(self, name: str) -> str:
        """Return the path of one of this layer's variables."""
        return f"{self.name}/{name}"

    def weight(self, run: Run, name: str) -> Tensor:
        """Return one of this layer's variables, cast to its compute dtype (TF's AutoCastVariable)."""
        path = self.path(name)
        variable = run.variables[path]
        return run.weight(path, self.policy.compute) if casts_itself(self.policy, variable.dtype) else variable

    def variable(self, run: Run, name: str) -> Tensor:
        """Return one of this layer's variables in its own dtype."""
        return run.variables[self.path(name)]

    def spec(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        *,
        trainable: bool = True,
        dtype: DType | None = None,
        overwritten: bool = False,
    ) -> WeightSpec:
        """Return the description of one of this layer's variables; its constraint is the setting named after it.

        Raises:
            ShapeMismatch: the regularizer takes no variable of this shape.
        """
        if regularizer is not None:
            regularizer.check(shape)
        constraint = getattr(self, f"{name.rpartition('/')[2].removesuffix('_kernel')}_constraint", None)
        return WeightSpec(
            path=self.path(name),
            name=name,
            shape=shape,
            dtype=self.policy.variable if dtype is None else dtype,
            trainable=trainable and self.trainable,
            initializer=initializer,
            regularizer=regularizer,
            constraint=constraint,
            overwritten=overwritten,
        )


def casts_itself(policy: Policy, dtype: DType) -> bool:
    """Whether a variable is read in the compute dtype: floats are, whatever their dtype, under a mixed policy."""
    return dtype.is_floating and policy.compute_dtype != policy.variable_dtype


def _cast(x: Tensor, dtype: DType) -> Tensor:
    if x.dtype is dtype:
        return x
    cast = ops.cast(x, dtype)
    cast.mask = x.mask
    return cast


def last_axis(layer: Layer, shape: Shape) -> int:
    """Return the size of the last axis of an input shape.

    Raises:
        ShapeMismatch: it is not known or there is none beside the batch axis.
    """
    if len(shape) < 2 or shape[-1] is None:
        raise ShapeMismatch(
            f"{layer.class_name} {layer.name!r} needs an input of at least two axes with a known last one, "
            f"got shape {list(shape)}."
        )
    return shape[-1]
