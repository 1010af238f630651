"""Configs that the translation writes, for every pair of systems: of drawn setups and of the recorded cases."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings

from engine.errors import EngineError
from engine.serialization.translate import DIALECTS, facts, read, translate
from tests.engine.precision_setups import CONFIGS

CASES = Path(__file__).parent.parent / "cases"
REAL = ("torch", "keras3", "tf_keras", "deepspeed")
"""Systems whose own classes are installed among the peers."""

_DRAWN = 40


@dataclass(frozen=True)
class Written:
    """A config that was written.

    Attributes:
        source: the system that it was translated from.
        given: what was translated.
        target: the system that it is for.
        config: what was written.
    """

    source: str
    given: Any
    target: str
    config: Any


def written(targets: tuple[str, ...]) -> Iterator[Written]:
    """Yield configs for some systems, of every system."""
    for source in DIALECTS:
        for config in (*_drawn(source), *_recorded(source)):
            for target in targets:
                if target != source:
                    yield from _translated(source, target, config)


def _translated(source: str, target: str, config: Any) -> Iterator[Written]:
    try:
        translation = translate(source, target, config)
    except EngineError:
        return  # a recorded case that is refused
    yield Written(source, config, target, translation.config)


def _drawn(source: str) -> list[Any]:
    found: list[Any] = []

    @settings(
        max_examples=_DRAWN, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(CONFIGS[source])
    def collect(config: Any) -> None:
        found.append(config)

    collect()
    return found


def _recorded(source: str) -> list[Any]:
    found = []
    for path in sorted(CASES.glob("policy-*.json")):
        bodies = (case["request"]["body"] for case in json.loads(path.read_text()))
        found += [body["config"] for body in bodies if body.get("from") == source]
    return found


def refusals(python: str) -> tuple[int, list[str]]:
    """Return how many configs the real classes read, and what is wrong with the others.

    Args:
        python: an interpreter with torch, Keras, tf_keras, TensorFlow and DeepSpeed.
    """
    every = list(written(REAL))
    lines = "".join(json.dumps({"target": item.target, "config": item.config}) + "\n" for item in every)
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "DS_ACCELERATOR": "cpu",
    }
    script = Path(__file__).with_name("read_back.py")
    ran = subprocess.run(
        [python, str(script)], input=lines, capture_output=True, text=True, check=False, env={**os.environ, **quiet}
    )
    answers = [json.loads(line) for line in ran.stdout.splitlines()]
    if len(answers) != len(every):
        return 0, [f"{python} read {len(answers)} of {len(every)} configs: {ran.stderr[-2000:]}"]
    wrong = [text for item, answer in zip(every, answers, strict=True) for text in _wrong(item, answer)]
    return len(every) - len(wrong), wrong


def _wrong(item: Written, answer: dict[str, Any]) -> Iterator[str]:
    about = f"{item.source} -> {item.target}: {item.config!r} (from {item.given!r})"
    if "refused" in answer:
        yield f"{about}: {answer['refused'][:300]}"
        return
    ours = facts(read(item.target, item.config).setup)
    differing = {
        name: (ours[name], value) for name, value in answer["says"].items() if name in ours and ours[name] != value
    }
    if differing:
        yield f"{about}: ours and theirs differ: {differing}"
