"""Every layer inside a layer, by the way that leads to it."""

from collections.abc import Iterator, Mapping

import keras


def sublayers(layer: keras.layers.Layer, path: str = "") -> Iterator[tuple[str, keras.layers.Layer]]:
    """The layer itself and all that it holds in public attributes, lists and dicts, outer before inner.

    Args:
      layer: a Keras layer or model.
      path: what the paths start with.

    Yields:
      (path such as "backbone/blocks/3/convs/0", layer); each layer once.
    """
    seen = set()

    def walk(item, path):
        if isinstance(item, keras.layers.Layer):
            if id(item) in seen:
                return
            seen.add(id(item))
            yield path, item
            parts = [(name, value) for name, value in sorted(vars(item).items()) if not name.startswith("_")]
            # Keras's own models hold their layers elsewhere.
            parts += [("layers", item.layers)] if isinstance(item, keras.Model) else []
        elif isinstance(item, Mapping):
            parts = [(str(name), value) for name, value in item.items()]
        elif isinstance(item, list | tuple):
            parts = [(str(index), value) for index, value in enumerate(item)]
        else:
            return
        for name, value in parts:
            yield from walk(value, f"{path}/{name}" if path else name)

    return walk(layer, path)
