"""Cells that every table of figures has."""

import statistics


def seconds_and_cores(line) -> list[str]:
    """Median seconds with the fastest and the slowest, and the median of CPU seconds for each of them."""
    seconds = line["seconds"]
    cores = statistics.median(cpu / wall for cpu, wall in zip(line["cpu_seconds"], seconds, strict=True))
    times = f"{digits(statistics.median(seconds))} ({digits(min(seconds))} to {digits(max(seconds))})"
    return [times, f"{cores:.1f}"]


def load(lines) -> str:
    """The highest load while the lines were taken."""
    return f"Load of the machine: {max(max(line['load']) for line in lines):.1f} at most.\n"


def digits(seconds) -> str:
    """Three digits that count."""
    return f"{seconds:.3g}"
