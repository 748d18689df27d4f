"""What backbones have in common: levels by name, each with its stride and channels."""

from collections.abc import Mapping


def level_shapes(spec: Mapping[str, tuple[int, int]], input_shape: tuple) -> dict[str, tuple]:
    """Shapes of the levels of an image, sizes rounded up.

    Args:
      spec: {level: (stride, channels)}.
      input_shape: (B, H, W, channels), each a number or None.

    Returns:
      {level: (B, ceil(H / stride), ceil(W / stride), channels)}, None where the input's is.
    """
    batch, *sides, _ = input_shape
    return {
        name: (batch, *(None if side is None else -(-side // stride) for side in sides), channels)
        for name, (stride, channels) in spec.items()
    }
