"""Configs that the translation writes, for every pair of systems: of drawn setups and of the recorded cases."""

import gzip
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from hypothesis import HealthCheck, given, settings

from engine.errors import EngineError
from engine.serialization.translate import DIALECTS, facts, read, translate
from tests.engine.precision_setups import CONFIGS

CASES = Path(__file__).parent.parent / "cases"
RECORD = Path(__file__).parent.parent / "recorded" / "targets.json.gz"
REAL = ("torch", "keras3", "tf_keras", "deepspeed")
"""Systems whose own classes are installed among the peers."""

_DRAWN = 40

Answer: TypeAlias = dict[str, Any]
"""``{"says": {...}}``, what the real objects say of themselves; or ``{"refused": text}``."""


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


def written(targets: tuple[str, ...], drawn: Mapping[str, list[Any]]) -> Iterator[Written]:
    """Yield configs for some systems, of every system: translated from drawn configs and from those of the cases."""
    for source in DIALECTS:
        for config in (*drawn[source], *_recorded(source)):
            for target in targets:
                if target != source:
                    yield from _translated(source, target, config)


def _translated(source: str, target: str, config: Any) -> Iterator[Written]:
    try:
        translation = translate(source, target, config)
    except EngineError:
        return  # a recorded case that is refused
    yield Written(source, config, target, translation.config)


def draw() -> dict[str, list[Any]]:
    """Draw configs of every system."""
    return {source: _drawn(source) for source in DIALECTS}


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


def asked(python: str, every: Sequence[Written]) -> list[Answer]:
    """Return what the real classes say of every config, in the order of the configs.

    Args:
        python: an interpreter with torch, Keras, tf_keras, TensorFlow and DeepSpeed.
        every: configs for systems of `REAL`.

    Raises:
        RuntimeError: the interpreter ended before it had read every config; names the end of its errors.
    """
    lines = "".join(_line(item) + "\n" for item in every)
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
        raise RuntimeError(f"{python} read {len(answers)} of {len(every)} configs: {ran.stderr[-2000:]}")
    return answers


@dataclass(frozen=True)
class Record:
    """What `make targets` recorded, for the tests of machines that have none of the real systems.

    Attributes:
        drawn: configs that were drawn and translated, by the system that they are of.
        answers: of the real classes, by the config that they read.
    """

    drawn: Mapping[str, list[Any]]
    answers: Mapping[str, Answer]

    @classmethod
    def load(cls) -> "Record":
        """Read the record."""
        return cls(**json.loads(gzip.decompress(RECORD.read_bytes())))

    @classmethod
    def of(cls, drawn: Mapping[str, list[Any]], every: Sequence[Written], answers: Sequence[Answer]) -> "Record":
        """Return the record of answers to configs."""
        found = {_line(item): answer for item, answer in zip(every, answers, strict=True)}
        return cls(drawn, dict(sorted(found.items())))

    def save(self) -> None:
        """Write the record."""
        text = json.dumps({"drawn": self.drawn, "answers": self.answers})
        RECORD.write_bytes(gzip.compress(text.encode(), mtime=0))

    def answered(self, every: Sequence[Written]) -> list[Answer]:
        """Return the answers for configs; one that the real classes never read counts as refused."""
        unread: Answer = {"refused": "no real class has read this config: run `make targets`"}
        return [self.answers.get(_line(item), unread) for item in every]


def wrong(every: Sequence[Written], answers: Sequence[Answer]) -> list[str]:
    """Return what the real classes refused, and what they read otherwise than we do, in words."""
    return [text for item, answer in zip(every, answers, strict=True) for text in _wrong(item, answer)]


def _line(item: Written) -> str:
    return json.dumps({"target": item.target, "config": item.config}, sort_keys=True)


def _wrong(item: Written, answer: Answer) -> Iterator[str]:
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
