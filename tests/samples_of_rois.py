"""RoIAlign's samples in float64, from their definition."""

import numpy as np


def samples_of(start, size, bins, grid):
    """float64 sample positions [bins, grid] along an axis."""
    return start + (np.arange(bins)[:, None] + (np.arange(grid) + 0.5) / max(grid, 1)) * size / bins


def axis_weights(positions, limit):
    """Bilinear weights [samples, limit] of one axis, 0 for samples that do not count; RoIAlign's definition."""
    weights = np.zeros((positions.size, limit))
    for row, position in zip(weights, positions.ravel(), strict=True):
        if -1 <= position <= limit:
            position = min(max(position, 0), limit - 1)
            low = int(position)
            row[low] += 1 - (position - low)
            row[min(low + 1, limit - 1)] += position - low
    return weights
