"""Names of variables that are the same in every process."""

import re
from collections.abc import Iterable

import keras

# What Keras counts through the process, in its own models: weights and layers without a name (ConvNeXt).
NUMBERED = re.compile(r"(?<![A-Za-z0-9])(variable|layer_normalization)(?:_(\d+))?(?![A-Za-z0-9])")


def stable_paths(variables: Iterable[keras.Variable]) -> list[str]:
    """The paths of variables, with numbers that Keras counts through the process counted in these variables alone.

    Args:
      variables: of a model, or of its optimizer, all of them, in their order.

    Returns:
      A path each; those that differ still do.
    """
    seen: dict[tuple[str, str], str] = {}

    def renumbered(match: re.Match) -> str:
        key = (match[1], match[2] or "")
        if key not in seen:
            count = sum(name == match[1] for name, _ in seen)
            seen[key] = match[1] + (f"_{count}" if count else "")
        return seen[key]

    return [NUMBERED.sub(renumbered, variable.path) for variable in variables]
