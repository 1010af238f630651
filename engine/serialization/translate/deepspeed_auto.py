"""``"auto"`` in DeepSpeed configs: two loaders replace it before DeepSpeed sees the file, which throws the rest away.

Source: ``DeepSpeedConfigModel`` in DeepSpeed's ``runtime/config_utils.py`` at edaa7221, ``integrations/deepspeed.py``
of Transformers 5.24, ``DeepSpeedPlugin.set_mixed_precision`` of Accelerate at 16cb6eb8.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.errors import InvalidValue
from engine.serialization.translate.setup import Remark

AUTO = "auto"
HALVES = ("fp16", "bf16")
_ADDED = {"fp16": {"enabled": True, "auto_cast": True}, "bf16": {"enabled": True}}
"""What Accelerate adds for a half that the file does not have."""

_THROWN_AWAY = ("fp16", "bf16", "bfloat16", "zero_optimization")


def places(config: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths of every "auto"."""
    if _is_auto(config):
        yield path
    elif isinstance(config, Mapping):
        for key, value in config.items():
            yield from places(value, (*path, str(key)))


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def without(config: Any) -> Any:
    """Return a config without its "auto"s, as DeepSpeed alone takes it."""
    if not isinstance(config, dict):
        return config
    kept = {key: value for key, value in config.items() if not _is_auto(value)}
    if _is_auto(config.get("enabled")):
        kept["enabled"] = False  # the default of every block; a block `fp16` alone would be enabled without it
    return {key: without(value) for key, value in kept.items()}


def open_halves(config: Any) -> tuple[str, ...]:
    """Return the halves of which "auto" decides whether they are enabled."""
    if isinstance(config, dict) and _is_auto(config.get("enabled")):
        return ("fp16",)
    halves = [path[0] for path in places(config) if len(path) == 2 and path[1] == "enabled"]
    return tuple("bf16" if half == "bfloat16" else half for half in halves if half in (*HALVES, "bfloat16"))


def filled(config: Any, fill: Mapping[str, bool]) -> Any:
    """Return a config as the Trainer of Transformers, or Accelerate, hands it to DeepSpeed.

    Args:
        config: a DeepSpeed config; it is not changed.
        fill: whether the caller asks for "fp16" and for "bf16"; one that is missing is not asked for.

    Raises:
        InvalidValue: the config enables or disables a half itself, otherwise than it is asked for.
    """
    if not isinstance(config, dict):
        raise InvalidValue(f"Only a DeepSpeed config, which is an object, can be filled, but got: {config!r}")
    if _is_auto(config.get("enabled")):  # a block `fp16` alone
        return {**config, "enabled": fill.get("fp16", False)}
    found = dict(config)
    for half in HALVES:
        key = "bfloat16" if half == "bf16" and config.get("bf16") is None and "bfloat16" in config else half
        block = _filled_block(key, found.get(key), asked=fill.get(half, False), explicit=half in fill)
        if block is not None:
            found[key] = block
    return found


def _filled_block(key: str, block: Any, *, asked: bool, explicit: bool) -> Any:
    if block is None:
        return dict(_ADDED["fp16" if key == "fp16" else "bf16"]) if asked else None
    if not isinstance(block, dict):
        return block  # the reader refuses it
    enabled = block.get("enabled", False)
    if _is_auto(enabled):
        return {**block, "enabled": asked}
    if explicit and isinstance(enabled, bool) and enabled != asked:
        raise InvalidValue(
            f"{key}.enabled is {enabled} in the config, which the Trainer of Transformers refuses under {key}={asked}. "
            f'Write "auto" there, or fill with {str(enabled).lower()}.',
            code="fill_mismatch",
            path=(key, "enabled"),
        )
    return block


def remarks(config: Any) -> tuple[Remark, ...]:
    """Return a warning for each "auto"."""
    text = (
        '"auto" is filled by the Trainer of Transformers or by Accelerate, by their own arguments; DeepSpeed alone {}. '
        'Send `fill`, such as {{"fp16": true}}, to translate what they make of it.'
    )
    alone = {True: "throws the setting away and takes its default", False: "does not know the word"}
    return tuple(
        Remark("auto", f"{'.'.join(path)}: {text.format(alone[path[0] in _THROWN_AWAY])}", path)
        for path in places(config)
    )


def unfilled(config: Any, *, blocks: bool) -> dict[str, str]:
    """Return the settings that are "auto", with why nothing comes from them.

    Args:
        config: with "auto"s.
        blocks: those in blocks, where DeepSpeed throws them away; or those elsewhere.
    """
    found = [path for path in places(config) if path and (path[0] in _THROWN_AWAY) == blocks]
    return {".".join(path): '"auto", and nothing has filled it' for path in found}
