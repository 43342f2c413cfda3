"""Whether two pictures are the same one: laid over each other, then compared in their fine detail, block by block.

They are aligned by the enhanced correlation coefficient (Evangelidis & Psarakis 2008), coarse to fine, which brightness
and contrast do not change. Anatomy is coarse and alike in everybody; noise, ribs and vessels in their finest lines are
not: what is left after a blur is subtracted agrees in copies alone. The median over blocks lets text and arrows differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from pneumoscope.audit.signatures import SIDE, windows

SAME = 0.9  # correlation of fine detail from which it is the same picture
ALIKE = 0.7  # and from which it is another picture of one patient in the same position, as the next slice of a scan is
_LEVELS = ((32, 12), (64, 10), (SIDE, 6))  # side in pixels, iterations
_HOPELESS = {32: 0.8, 64: 0.65}  # correlations of detail at a coarse level that no pair above ALIKE had
_BLOCKS = 8  # in each direction
_BLUR = 2.0  # standard deviation in pixels
_COMMON = 0.5  # least share of the picture that both must show


class Match(NamedTuple):
    """How two pictures agree. area: of the asking picture that the other one shows, 1 for all. gain: its contrast."""

    correlation: float
    mirrored: bool
    area: float
    gain: float
    offset: float


def match(asked: np.ndarray, found: np.ndarray, view: int) -> Match | None:
    """How alike two pictures are, uint8 `[SIDE, SIDE]` each; None where they are not. view: the one that found."""
    import cv2

    mirrored = view >= len(windows())
    a = np.ascontiguousarray(asked[:, ::-1]) if mirrored else asked
    warp, last = _start(view), 1
    for side, steps in _LEVELS:
        x, y = (cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) for p in (a, found))
        warp[:, 2] *= side / last
        last = side
        everywhere = np.full((side, side), 255, np.uint8)
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, steps, 1e-4)
        try:
            _, warp = cv2.findTransformECC(y, x, warp, cv2.MOTION_AFFINE, criteria, everywhere, 3)
        except cv2.error:  # how OpenCV says that it does not converge: they are not alike
            return None
        shown, common = _laid_over(x, warp, side)
        if common.mean() < _COMMON:
            return None
        correlation = detail(shown, y, common)
        if correlation < _HOPELESS.get(side, ALIKE):
            return None
    gain, offset = np.polyfit(shown[common], y[common], 1)
    area = float(abs(warp[0, 0] * warp[1, 1] - warp[0, 1] * warp[1, 0]))
    return Match(min(1.0, correlation), mirrored, area, float(gain), float(offset))


def detail(x: np.ndarray, y: np.ndarray, common: np.ndarray) -> float:
    """Median over blocks of the correlation of two pictures' fine detail, float32 `[S, S]`; 0 where there is none.

    common: bool `[S, S]`, where both pictures are known. Blocks that are all but flat in either do not count.
    """
    import cv2

    side = len(x)
    step = side // _BLOCKS
    inner = cv2.erode(common.astype(np.uint8), np.ones((5, 5), np.uint8)).astype(np.float32)
    fx, fy = (inner * (p - cv2.GaussianBlur(p, (0, 0), _BLUR)) for p in (x, y))
    bx, by = (_blocks(p, step) for p in (fx, fy))
    bx, by = bx - bx.mean(axis=1, keepdims=True), by - by.mean(axis=1, keepdims=True)
    ex, ey = bx.std(axis=1), by.std(axis=1)
    counts = (_blocks(inner, step).mean(axis=1) > 0.8) & (ex > 0.5) & (ey > 0.5)
    if counts.sum() < _BLOCKS:
        return 0.0
    counts &= ex > 0.25 * np.median(ex[counts])
    return float(np.median((bx * by).mean(axis=1)[counts] / (ex * ey)[counts]))


def _blocks(p: np.ndarray, step: int) -> np.ndarray:
    n = len(p) // step
    return p.reshape(n, step, n, step).transpose(0, 2, 1, 3).reshape(n * n, -1)


def _start(view: int) -> np.ndarray:
    """From pixels of the found picture, the side being 1, to those of the asking one."""
    y0, x0, y1, x1 = windows()[view % len(windows())]
    return np.array([[x1 - x0, 0, x0], [0, y1 - y0, y0]], np.float32)


def _laid_over(x: np.ndarray, warp: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The asking picture in the pixels of the other, and where it is known."""
    import cv2

    size, back = (side, side), cv2.WARP_INVERSE_MAP
    shown = cv2.warpAffine(x, warp, size, flags=cv2.INTER_LINEAR | back, borderMode=cv2.BORDER_REPLICATE)
    known = cv2.warpAffine(np.ones(size, np.uint8), warp, size, flags=cv2.INTER_NEAREST | back)
    return shown, known > 0
