"""Layers hand masks on as those of the real libraries do (`record_masks.py`)."""

import json

import numpy as np
import pytest

from engine.conventions import CONVENTIONS
from engine.dtypes import FLOAT32
from engine.run import Run
from engine.tape import Tensor
from tests.engine.record_masks import CASES, IDS, RECORD, WIDTH, title
from tests.engine.test_layers import arrays_of, made

MASKS = json.loads(RECORD.read_text())


def tensor(key: str) -> Tensor:
    ids = np.array(IDS["x" if key == "z" else key])
    x = Tensor(np.random.default_rng(3).normal(size=(*ids.shape, WIDTH)).astype(np.float32), FLOAT32)
    x.mask = None if key == "z" else ids != 0
    return x


@pytest.mark.parametrize(("name", "config", "inputs"), CASES, ids=[title(*case) for case in CASES])
def test_masks_are_handed_on_as_in_the_real_libraries(name: str, config: dict[str, object], inputs: str):
    for line, real in MASKS[title(name, config, inputs)].items():
        layer = made(name, {"name": "it", **config}, line=line)
        given = [tensor(key) for key in inputs]
        shapes = [x.shape for x in given]
        run = Run(layer.weight_specs(*shapes), arrays_of(layer, *shapes), conventions=CONVENTIONS[line])
        found = layer(run, *given).mask
        assert (None if found is None else found.astype(int).tolist()) == real["mask"], line
        assert [x.mask is not None for x in given] == real["left"], line
