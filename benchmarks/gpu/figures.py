"""The line that both projects print of a program."""

import json
import statistics


def print_line(project, program, device, *, compiling, times, images, peak_bytes, results):
    """Prints the figures of one program as JSON.

    Args:
      project, program, device: names.
      compiling: seconds before the first timed call.
      times: milliseconds of each timed call.
      images: of one call.
      peak_bytes: of the device's memory; 0 where it is not known.
      results: arrays of the first call by name; small ones are printed.
    """
    median = statistics.median(times)
    line = {
        "project": project,
        "program": program,
        "device": device,
        "compile_s": round(compiling, 1),
        "median_ms": round(median, 3),
        "min_ms": round(min(times), 3),
        "max_ms": round(max(times), 3),
        "images_per_s": round(images / median * 1e3, 2),
        "peak_gb": round(peak_bytes / 1e9, 2),
        "small": {name: value.tolist() for name, value in results.items() if value.size <= 4},
    }
    print(json.dumps(line), flush=True)
