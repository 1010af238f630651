"""The loss scalers of other systems, written down again from their published sources: the rules must agree with them.

They count iterations as the originals do, where our rules count steps since the last event, so that the two can only
agree by behaving alike. Sources as named in ``engine.scaler_rules``.
"""

import math
from collections.abc import Iterable

import numpy as np

Trajectory = list[float]
STOPPED = math.nan
"""Stands for the error with which a system stops the run."""


def deepspeed_zero(
    finite: Iterable[bool], init: float, window: int, floor: float, hysteresis: int, *, consecutive: bool
) -> Trajectory:
    scale, left, last_bad = init, hysteresis, -1
    scales: Trajectory = []
    for iteration, good in enumerate(finite):
        if not good:
            if hysteresis == 1 or left == 1:
                if scale == floor:
                    return [*scales, STOPPED]
                scale = max(scale / 2, floor)
            else:
                left -= 1
            last_bad = iteration
        else:
            if consecutive:
                left = hysteresis
            stable = iteration - last_bad - 1
            if stable > 0 and stable % window == 0:
                left = hysteresis
                scale *= 2
        scales.append(scale)
    return scales


def deepspeed_fused(finite: Iterable[bool], init: float, window: int, floor: float) -> Trajectory:
    scale, last_bad, scales = init, -1, []
    for iteration, good in enumerate(finite):
        stable = iteration - last_bad - 1
        if not good:
            scale, last_bad = max(scale / 2, floor), iteration
        elif stable > 0 and stable % window == 0:
            scale *= 2
        scales.append(scale)
    return scales


def megatron(finite: Iterable[bool], init: float, window: int, floor: float, hysteresis: int) -> Trajectory:
    scale, tracker, left, scales = np.float32(init), 0, hysteresis, []
    for good in finite:
        if good:
            tracker += 1
            if tracker == window:
                tracker, left, scale = 0, hysteresis, scale * np.float32(2)
        else:
            tracker, left = 0, left - 1
            if left <= 0:
                scale = max(scale * np.float32(0.5), np.float32(floor))
        scales.append(float(scale))
    return scales


def fairseq(
    finite: Iterable[bool], init: float, factor: float, window: int, tolerance: float, least: float
) -> Trajectory:
    scale, last_bad, last_change, bad = init, -1, -1, 0
    scales: Trajectory = []
    for iteration, good in enumerate(finite):
        if good:
            if (iteration - last_bad) % window == 0:
                scale, last_change = scale * factor, iteration
        else:
            since, last_bad, bad = iteration - last_change, iteration, bad + 1
            if bad / since >= tolerance:
                scale, last_change, bad = scale / factor, iteration, 0
            if scale <= least:
                return [*scales, STOPPED]
        scales.append(scale)
    return scales


def jmp(finite: Iterable[bool], init: float, period: int, factor: float, floor: float) -> Trajectory:
    scale, counter, scales = np.float32(init), 0, []
    for good in finite:
        with np.errstate(over="ignore"):
            grown = scale * np.float32(factor)
        if not good:
            scale = max(np.float32(floor), scale / np.float32(factor))
        elif counter == period - 1 and np.isfinite(grown):
            scale = grown
        counter = (counter + 1) % period if good else 0
        scales.append(float(scale))
    return scales


def apex(finite: Iterable[bool], init: float, window: int, floor: float | None, cap: float) -> Trajectory:
    scale, unskipped, scales = init, 0, []
    for good in finite:
        if good:
            unskipped += 1
        else:
            scale, unskipped = (max(floor, scale / 2) if floor else scale / 2), 0
        if unskipped == window:
            scale, unskipped = min(cap, scale * 2), 0
        scales.append(scale)
    return scales


def torch(finite: Iterable[bool], init: float, growth: float, backoff: float, interval: int) -> Trajectory:
    scale, tracker, scales = np.float32(init), 0, []
    for good in finite:
        tracker = tracker + 1 if good else 0
        with np.errstate(over="ignore"):
            if not good:
                scale = np.float32(np.float64(scale) * backoff)
            elif tracker == interval:
                grown, tracker = np.float32(np.float64(scale) * growth), 0
                scale = grown if np.isfinite(grown) else scale
        scales.append(float(scale))
    return scales
