"""Dtype policies of Keras 3 as frozen values: plain ones, and those of quantized layers.

What Keras reads from its global policy is passed in: ``default``, the name of the policy of layers given none.
Source: ``keras.dtype_policies`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self

from engine.errors import InvalidType, InvalidValue
from engine.keras_config import check_arguments

FLOATX = "float32"
QUANTIZATION_MODES = ("int8", "float8", "int4", "gptq", "awq")
MIXED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"mixed_float16": ("float16", "float32"), "mixed_bfloat16": ("bfloat16", "float32")}
)
DTYPE_NAMES: Mapping[str, str] = MappingProxyType(
    {
        **{name: name for name in ("float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2")},
        **{f"{kind}{bits}": f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
        **{name: name for name in ("bool", "string", "complex64", "complex128")},
        "int": "int64",  # on TensorFlow; int32 on the other backends
    }
)
"""The names that Keras 3 takes for dtypes, each with the name of the dtype."""
_FOREIGN = ("torch", "jax.numpy")


class DTypePolicy:
    """Which dtype layers compute in, and which their variables have.

    Args:
        name: a dtype name of Keras 3, also as "torch.float32", "mixed_float16" or "mixed_bfloat16"; None for
            ``default``.
        default: name of the global policy.

    Attributes:
        compute_dtype: name of the dtype of inputs, outputs and arithmetic.
        variable_dtype: name of the dtype of variables.
        quantization_mode: how layers quantize their weights, or None.

    Raises:
        InvalidType: the name is not a string.
        InvalidValue: no policy has that name.
    """

    __slots__ = ("compute_dtype", "details", "name", "quantization_mode", "source_name", "variable_dtype")
    names_equal: ClassVar[str] = "DTypePolicy"
    """What policies of this class are equal to, if their configs are: plain ones to plain ones."""

    name: str
    compute_dtype: str
    variable_dtype: str
    quantization_mode: str | None
    source_name: str
    details: Mapping[str, int]

    def __init__(self, name: str | None = None, *, default: str = FLOATX) -> None:
        chosen = default if name is None else name
        self._set(chosen, chosen, None, {})

    def _set(self, name: str, source_name: str, mode: str | None, details: Mapping[str, int]) -> None:
        compute, variable = parsed(source_name)
        values = (compute, details, name, mode, source_name, variable)
        for slot, value in zip(DTypePolicy.__slots__, values, strict=True):
            object.__setattr__(self, slot, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A policy is frozen; make another one instead of setting {name!r}.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DTypePolicy) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return (self.names_equal, self.name, *self.get_config().items())

    def __repr__(self) -> str:
        return f'<{self.names_equal} "{self.name}">'

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this policy again."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: Any, default: str = FLOATX) -> Self:
        """Make a policy of what ``get_config`` returned.

        Args:
            config: keyword arguments of the class.
            default: name of the global policy.
        """
        return cls(**check_arguments(cls.__name__, config, optional=("name",)), default=default)


class FloatDTypePolicy(DTypePolicy):
    """An older name of ``DTypePolicy``."""

    __slots__ = ()


class QuantizedDTypePolicy(DTypePolicy):
    """The policy of layers with quantized weights.

    Args:
        mode: one of ``QUANTIZATION_MODES``.
        source_name: name of the plain policy beneath; None for ``default``.
        default: name of the global policy.

    Raises:
        InvalidType: the source name is not a string.
        InvalidValue: no such mode or source, or int8 on top of float16.
    """

    __slots__ = ()
    names_equal = "QuantizedDTypePolicy"

    def __init__(self, mode: Any, source_name: str | None = None, *, default: str = FLOATX) -> None:
        source = default if source_name is None else source_name
        self._set(f"{mode}_from_{source}", source, mode, {})
        self._check(mode)

    def _check(self, mode: Any) -> None:
        if mode not in QUANTIZATION_MODES:
            raise InvalidValue(
                f"Invalid quantization mode. Expected one of {QUANTIZATION_MODES}. Received: mode={mode}",
                code="quantization_mode",
                path=("mode",),
            )
        if mode == "int8" and self.compute_dtype == "float16":
            raise InvalidValue(
                "Quantization mode='int8' doesn't work well with compute_dtype='float16'.",
                code="quantization_mode",
                path=("mode",),
            )

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this policy again."""
        return {"mode": self.quantization_mode, "source_name": self.source_name}

    @classmethod
    def from_config(cls, config: Any, default: str = FLOATX) -> Self:
        """Make a policy of what ``get_config`` returned."""
        arguments = check_arguments(cls.__name__, config, required=("mode",), optional=("source_name",))
        return cls(**arguments, default=default)


class QuantizedFloat8DTypePolicy(QuantizedDTypePolicy):
    """The policy of layers that compute products in float8.

    Args:
        mode: "float8"; any of ``QUANTIZATION_MODES`` passes, as in Keras.
        source_name: name of the plain policy beneath; None for ``default``.
        amax_history_length: how many steps back the largest magnitude is looked for.
        default: name of the global policy.

    Raises:
        InvalidType, InvalidValue: as ``QuantizedDTypePolicy``, or the length is not an int.
    """

    __slots__ = ()
    names_equal = "QuantizedFloat8DTypePolicy"

    def __init__(
        self, mode: Any, source_name: str | None = None, amax_history_length: int = 1024, *, default: str = FLOATX
    ) -> None:
        super().__init__(mode, source_name, default=default)
        if not isinstance(amax_history_length, int):
            raise InvalidType(
                f"`amax_history_length` must be an integer. Received: amax_history_length={amax_history_length}",
                path=("amax_history_length",),
            )
        object.__setattr__(self, "details", {"amax_history_length": amax_history_length})

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this policy again."""
        return {**super().get_config(), **self.details}

    @classmethod
    def from_config(cls, config: Any, default: str = FLOATX) -> Self:
        """Make a policy of what ``get_config`` returned."""
        optional = ("source_name", "amax_history_length")
        return cls(**check_arguments(cls.__name__, config, required=("mode",), optional=optional), default=default)


class GroupedDTypePolicy(QuantizedDTypePolicy):
    """Base of policies whose mode says how weights are quantized in groups: a word and numbers, parted by "/".

    Their name keeps a source that was left out as "None", as Keras's does.
    """

    __slots__ = ()
    word: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    bits: ClassVar[tuple[int, ...]]
    bits_text: ClassVar[str]
    whole: ClassVar[str]

    def __init__(self, mode: Any, source_name: str | None = None, *, default: str = FLOATX) -> None:
        details = self._details(mode)
        self._set(f"{mode}_from_{source_name}", default if source_name is None else source_name, self.word, details)
        object.__setattr__(self, "details", details)

    def get_config(self) -> dict[str, Any]:
        """Return the keyword arguments that make this policy again."""
        return {"mode": "/".join([self.word, *map(str, self.details.values())]), "source_name": self.source_name}

    def _details(self, mode: Any) -> dict[str, int]:
        form = "/".join([self.word, *(f"<{part}>" for part in self.parts)])
        if not isinstance(mode, str):
            raise InvalidType(f"The mode must be a string '{form}', but got: {mode!r}", original="AttributeError")
        word, *numbers = mode.split("/")
        if word != self.word or len(numbers) != len(self.parts):
            text = f"Invalid mode for {type(self).__name__}. Expected format '{form}', but got '{mode}'."
            raise InvalidValue(text, code="quantization_mode", path=("mode",))
        try:
            details = {part: int(number) for part, number in zip(self.parts, numbers, strict=True)}
        except ValueError as error:
            text = f"Invalid mode for {type(self).__name__}. {self._all_parts()} Expected format '{form}', "
            raise InvalidValue(f"{text}but got '{mode}'.", code="quantization_mode", path=("mode",)) from error
        self._check_details(details, mode)
        return details

    def _all_parts(self) -> str:
        names = " and ".join(f"<{part}>" for part in self.parts)
        return f"{names} must be integers." if len(self.parts) > 1 else f"{names} must be an integer."

    def _check_details(self, details: Mapping[str, int], mode: str) -> None:
        bits = details.get("weight_bits")
        if bits is not None and bits not in self.bits:
            text = f"Invalid weight_bits in mode. {self.bits_text}, but got {bits} from '{mode}'."
            raise InvalidValue(text, code="quantization_mode", path=("mode",))
        size_name = self.parts[-1]
        size = details[size_name]
        if size < -1 or size == 0:
            text = f"Invalid {size_name} in mode. Supported values are {self.whole}, but got {size} from '{mode}'."
            raise InvalidValue(text, code="quantization_mode", path=("mode",))


class Int4DTypePolicy(GroupedDTypePolicy):
    """Weights of 4 bits in blocks: "int4/<block_size>", -1 for whole channels."""

    __slots__ = ()
    names_equal = "Int4DTypePolicy"
    word = "int4"
    parts = ("block_size",)
    bits = ()
    bits_text = ""
    whole = "-1 (per-channel) or a positive integer (sub-channel)"


class GPTQDTypePolicy(GroupedDTypePolicy):
    """Weights quantized by GPTQ: "gptq/<weight_bits>/<group_size>", -1 for whole tensors."""

    __slots__ = ()
    names_equal = "GPTQDTypePolicy"
    word = "gptq"
    parts = ("weight_bits", "group_size")
    bits = (2, 3, 4, 8)
    bits_text = "Supported values are 2, 3, 4, and 8"
    whole = "-1 (whole-tensor) or a positive integer"


class AWQDTypePolicy(GroupedDTypePolicy):
    """Weights quantized by AWQ: "awq/<weight_bits>/<group_size>", -1 for whole channels."""

    __slots__ = ()
    names_equal = "AWQDTypePolicy"
    word = "awq"
    parts = ("weight_bits", "group_size")
    bits = (4,)
    bits_text = "AWQ only supports 4-bit quantization"
    whole = "-1 (per-channel) or a positive integer"


def parsed(name: Any) -> tuple[str, str]:
    """Return the compute and the variable dtype of a plain policy name.

    Raises:
        InvalidType: not a string.
        InvalidValue: no dtype and no mixed policy.
    """
    if not isinstance(name, str):
        raise InvalidType(
            f"'name' must be a string, such as 'mixed_float16'. Received: name={name} (of type {type(name)})",
            code="invalid_name",
            path=("name",),
        )
    if name in MIXED:
        return MIXED[name]
    plain = name.rsplit(".", maxsplit=1)[-1] if any(package in name for package in _FOREIGN) else name
    if plain not in DTYPE_NAMES:
        raise InvalidValue(
            f"Cannot convert '{name}' to a mixed precision DTypePolicy. Valid policies include 'mixed_float16', "
            "'mixed_bfloat16', and the name of any float dtype such as 'float32'.",
            code="unknown_policy",
            path=("name",),
        )
    return DTYPE_NAMES[plain], DTYPE_NAMES[plain]


def by_name(name: str, default: str = FLOATX) -> DTypePolicy:
    """Return the policy that a name stands for, quantized ones included ("int8_from_float32").

    Raises:
        InvalidType, InvalidValue: no policy has that name; "int8" and "float8_e4m3fn" are taken for half of one.
    """
    if not name.startswith(QUANTIZATION_MODES):
        return DTypePolicy(name)
    mode, *source = name.split("_from_")
    if len(source) != 1:
        raise InvalidValue(
            "Cannot convert `policy` into a valid pair (`mode`, `source_name`) to instantiate `QuantizedDTypePolicy`. "
            f"Received: policy={name}",
            code="unknown_policy",
        )
    return _class_of(mode)(mode, source[0], default=default)


def _class_of(mode: str) -> type[QuantizedDTypePolicy]:
    grouped = {cls.word: cls for cls in (Int4DTypePolicy, GPTQDTypePolicy, AWQDTypePolicy)}
    if mode.startswith("int4/"):
        return Int4DTypePolicy
    if mode.startswith(("gptq", "awq")):
        return grouped["gptq" if mode.startswith("gptq") else "awq"]
    return QuantizedFloat8DTypePolicy if mode.startswith("float8") else QuantizedDTypePolicy


CLASSES: Mapping[str, type[DTypePolicy]] = MappingProxyType(
    {
        cls.__name__: cls
        for cls in (
            DTypePolicy,
            FloatDTypePolicy,
            QuantizedDTypePolicy,
            QuantizedFloat8DTypePolicy,
            Int4DTypePolicy,
            GPTQDTypePolicy,
            AWQDTypePolicy,
        )
    }
)
"""Every class of policies of Keras 3 by its name."""
