"""Round numbers for the axes of charts."""

import math
from collections.abc import Sequence


def ticks(values: Sequence[float]) -> list[float]:
    """Three to eight round numbers at equal distances, from below the least of the values to above the greatest."""
    low, high = min(values), max(values)
    rough = max(high - low, 1e-3 * max(abs(low), abs(high)) or 1e-3) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 2)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]
