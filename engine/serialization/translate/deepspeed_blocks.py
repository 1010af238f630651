"""The blocks of a DeepSpeed config that are about precision, and what DeepSpeed refuses in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine.errors import InvalidType
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import Reading, Setup

_FP16 = (
    *("enabled", "auto_cast", "loss_scale", "initial_scale_power", "loss_scale_window", "hysteresis"),
    *("consecutive_hysteresis", "min_loss_scale", "fp16_master_weights_and_grads"),
)
_BF16 = (
    *("enabled", "immediate_grad_update", "check_grad_overflow", "bf16_master_weights_and_grads"),
    "bf16_optimizer_states",
)
_NEOX = ("fp16", "type")
"""Settings of the block ``fp16`` that GPT-NeoX writes and DeepSpeed refuses."""

_BLOCKS = ("fp16", "bf16", "bfloat16", "amp", "torch_autocast", "zero_optimization", "data_types", "precision")
_DTYPES: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("torch.float16", "fp16", "float16", "half"), "float16"),
        **dict.fromkeys(("torch.bfloat16", "bf16", "bfloat16"), "bfloat16"),
        **dict.fromkeys(("torch.float32", "fp32", "float32", "float"), "float32"),
    }
)
_PRECISIONS = MappingProxyType({"fp16": "fp16", "bfloat16": "bf16", "fp32": ""})
_FURTHER = MappingProxyType(
    {
        "communication_data_type": "the dtype in which gradients are reduced",
        "seq_parallel_communication_data_type": "the dtype in which sequence parallelism communicates",
        "fp32_allreduce": "whether gradients are reduced in float32",
        "compression_training": "quantization of weights and activations",
        "quantize_training": "quantization of weights",
    }
)
_REMOVED = ("compression_training", "quantize_training")
_QUANTIZED = MappingProxyType(
    {
        "zero_quantized_weights": "whether weights are quantized for communication",
        "zero_quantized_nontrainable_weights": "whether frozen weights are quantized",
        "zero_quantized_gradients": "whether gradients are quantized for communication",
    }
)
_DATA_TYPES = MappingProxyType(
    {
        "grad_accum_dtype": "the dtype in which gradients accumulate",
        "param_dtype": "the dtype of the model's parameters, which fp16 and bf16 decide",
        "buffer_dtype": "the dtype of the model's buffers",
        "keep_in_fp32_modules": "of which modules buffers stay in float32",
    }
)


@dataclass(frozen=True)
class Blocks:
    """A DeepSpeed config by its blocks.

    Attributes:
        whole: the config itself.
        fp16, bf16, amp, autocast, zero, data_types: its blocks; empty ones where it lacks them.
        bare: whether the config is a block ``fp16`` alone.
        bf16_key: under which of its two names the block ``bf16`` is read.
        stage: of ZeRO.
    """

    whole: Fields
    fp16: Fields
    bf16: Fields
    amp: Fields
    autocast: Fields
    zero: Fields
    data_types: Fields
    bare: bool
    bf16_key: str
    stage: int

    @classmethod
    def of(cls, config: Any) -> Blocks:
        """Return the blocks of a config.

        Raises:
            InvalidType, InvalidValue: what DeepSpeed refuses in any case.
        """
        keys = config.keys() if isinstance(config, dict) else ()
        bare = set(_BLOCKS).isdisjoint(keys) and not {*_FP16, *_NEOX}.isdisjoint(keys)
        given = {"fp16": config} if bare else config
        whole = Fields("A DeepSpeed config", given, _keys(given), texts="pydantic")
        bf16_key = "bfloat16" if not whole.has("bf16") and whole.has("bfloat16") else "bf16"
        if bf16_key == "bf16":
            whole.ignore("bfloat16", "the key `bf16` is there, and DeepSpeed reads the older name in its absence only")
        zero = whole.inner("zero_optimization")
        zero = {"stage": int(zero)} if isinstance(zero, bool) else zero
        sharding = _open("zero_optimization", zero)
        fp16 = whole.inner("fp16")
        _check_known(fp16, (*_FP16, *_NEOX), "fp16", () if bare else ("fp16",))
        bf16 = whole.inner(bf16_key)
        _check_known(bf16, _BF16, "bf16", (bf16_key,))
        return cls(
            whole=whole,
            fp16=Fields("fp16", fp16, (*_FP16, *_NEOX), "" if bare else "fp16", texts="pydantic"),
            bf16=Fields("bf16", bf16, _BF16, bf16_key, texts="pydantic"),
            amp=_open("amp", whole.inner("amp")),
            autocast=_open("torch_autocast", whole.inner("torch_autocast")),
            zero=sharding,
            data_types=_open("data_types", whole.inner("data_types")),
            bare=bare,
            bf16_key=bf16_key,
            stage=sharding.whole("stage", 0, high=3),
        )

    def reading(self, setup: Setup) -> Reading:
        """Return what was read."""
        return self.whole.reading(setup, self.fp16, self.bf16, self.amp, self.autocast, self.zero, self.data_types)

    def named_precision(self) -> str | None:
        """Return which half the words of GPT-NeoX name: "fp16", "bf16", "" for neither; None without such words.

        Raises:
            InvalidValue: a word that GPT-NeoX does not have.
        """
        for key in _NEOX:
            if self.fp16.has(key):
                self.fp16.aside(key, "a word of GPT-NeoX")
                text = (
                    f"`{key}` is a word of GPT-NeoX, whose files hold a DeepSpeed config; DeepSpeed alone refuses it."
                )
                self.fp16.remark(key, "gpt_neox", text)
        if not self.whole.has("precision"):
            return None
        named = self.whole.dtype("precision", None, _PRECISIONS, "compute_dtype")
        text = (
            "`precision` is a word of GPT-NeoX, which enables fp16 or bf16 by it; DeepSpeed alone does not look at it, "
            "and would train as the other blocks say."
        )
        self.whole.remark("precision", "gpt_neox", text)
        return named

    def is_older_bfloat16(self) -> bool:
        """Whether the block ``fp16`` means bfloat16, as in the files of older releases of GPT-NeoX."""
        if self.fp16.value("type", None) != "bfloat16":
            return False
        text = (
            "Older releases of GPT-NeoX compute in bfloat16 by this word, and it is read so, without a loss scale; "
            "newer ones do not look at it. Write bf16.enabled or `precision` instead."
        )
        self.fp16.remark("type", "gpt_neox", text)
        return True

    def needs_zero(self, fields: Fields, key: str) -> None:
        """Check that ZeRO is on, without which DeepSpeed refuses a setting."""
        if self.stage == 0:
            raise fields.refused(key, "false without ZeRO (zero_optimization.stage 1, 2 or 3)", found=True)

    def grad_dtype(self) -> str | None:
        """Return the dtype in which gradients accumulate; None where it is that of the model."""
        return self.data_types.dtype("grad_accum_dtype", None, _DTYPES)

    def offloads(self) -> bool:
        """Whether the optimizer runs on the CPU."""
        device = self.zero.inner("offload_optimizer")
        return isinstance(device, dict) and device.get("device", "none") not in ("none", None)

    def autocast_dtype(self) -> str:
        """Return the dtype of ``torch_autocast``; left out, it is torch's own default for the device."""
        found = self.autocast.dtype("dtype", None, _DTYPES)
        if found is not None:
            return found
        text = "Without a dtype, torch takes its default for the device: float16 on CUDA, which is read here."
        self.autocast.remark("", "device_decides", text)
        return "float16"

    def check_unquantized(self) -> None:
        """Check that nothing is quantized, beside which DeepSpeed refuses ``torch_autocast``."""
        if self.zero.value("zero_quantized_weights", default=False):
            raise self.zero.refused("zero_quantized_weights", "false beside torch_autocast", found=True)


def check_grad_dtype(blocks: Blocks, model: str) -> None:
    """Check the dtype in which gradients accumulate; without ZeRO it must be that of the model."""
    found = blocks.grad_dtype()
    if found is not None and found != model and blocks.stage == 0:
        raise blocks.data_types.refused(
            "grad_accum_dtype",
            f"that of the model ({model}) without ZeRO",
            blocks.data_types.value("grad_accum_dtype", ""),
        )


def note_further(blocks: Blocks, setup: Setup) -> None:
    """Note the settings of precision that no fact of a setup holds.

    Raises:
        InvalidValue: dtypes that DeepSpeed refuses beside the others.
    """
    assert setup.dtypes is not None, "a DeepSpeed config always says its dtypes"
    model = setup.dtypes.compute if setup.dtypes.casting == "model" else "float32"
    check_grad_dtype(blocks, model)
    for key in ("communication_data_type", "seq_parallel_communication_data_type"):
        word = blocks.whole.value(key, "fp32")
        if not isinstance(word, str) or word.lower() not in ("fp32", "fp16", "bf16"):
            raise blocks.whole.refused(key, "one of fp32, fp16, bf16", word)
    named = blocks.data_types.dtype("param_dtype", None, _DTYPES)
    if named not in (None, model):
        raise blocks.data_types.refused("param_dtype", f"{model}, as fp16 and bf16 say", named)
    for table, fields in ((_FURTHER, blocks.whole), (_QUANTIZED, blocks.zero), (_DATA_TYPES, blocks.data_types)):
        for key, about in table.items():
            fields.adds(key, about)
    for key in _REMOVED:
        if blocks.whole.has(key):
            text = f"DeepSpeed 0.19 and later refuse `{key}`, which was removed from it."
            blocks.whole.remark(key, "removed_setting", text)


def _keys(config: Any) -> tuple[str, ...]:
    return (*_BLOCKS, *(config if isinstance(config, dict) else ()))


def _open(name: str, config: Any) -> Fields:
    """Return a block of which unknown settings are left alone."""
    return Fields(name, config, _keys(config), name, texts="pydantic")


def _check_known(config: Any, accepted: tuple[str, ...], block: str, path: tuple[str, ...]) -> None:
    for key in config if isinstance(config, dict) else ():
        if key not in accepted:
            older = "; releases before its blocks were pydantic models ignored it" if block == "bf16" else ""
            raise InvalidType(
                f"{block} has no setting {key!r}, and DeepSpeed refuses it{older}; accepted are {', '.join(accepted)}.",
                code="unexpected_argument",
                path=(*path, str(key)),
            )
