"""Drawing of the synthetic scenes: outlines, rasterisation, placing with a guaranteed visible share, textures.

Only NumPy. Shape decides the class; size, stretch, rotation, place, colours and texture are drawn independently of it.
"""

import colorsys
import dataclasses

import numpy as np

CLASS_NAMES = ("disc", "rectangle", "triangle", "star", "cross", "ring")  # in the order of classes 1..C
KEYPOINT_NAMES = ("top", "right", "bottom", "left", "centre")  # extreme pixels of the whole, unoccluded shape
SKELETON = ((4, 0), (4, 1), (4, 2), (4, 3))  # pairs of keypoints: the centre and each side
MIN_VISIBLE = 0.5  # share of its own area that every object keeps

_SUBROWS = 4  # scan lines a pixel row; coverage along x is exact
_MIN_CONTRAST = 70.0  # RGB distance between an object's main colour and those of the background and other objects


@dataclasses.dataclass
class Shape:
    """One placed object. Masks are bool crops whose top-left pixel is (y0, x0) of the scene."""

    class_id: int  # 1..C
    y0: int
    x0: int
    coverage: np.ndarray  # f32 [h, w], share of each pixel inside the outline, parts outside the scene cut off
    full_area: int  # pixels of the whole shape, parts outside the scene included
    points: np.ndarray  # f32 [5, 2] (y, x) of KEYPOINT_NAMES, centres of pixels

    @property
    def mask(self) -> np.ndarray:
        """The painted pixels, before later objects cover some: those at least half inside the outline."""
        return self.coverage >= 0.5

    @property
    def window(self) -> tuple[slice, slice]:
        """Where the crop lies in the scene."""
        height, width = self.coverage.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)


def outline(class_name: str, rng: np.random.Generator) -> list[np.ndarray]:
    """Closed polygons of a shape about (0, 0), in any unit; a hole runs the other way round.

    Args:
      class_name: one of CLASS_NAMES.
      rng: draws the proportions that the class leaves free.

    Returns:
      A list of float64 [n, 2] (x, y).
    """
    if class_name == "disc":
        return [_circle(1.0)]
    if class_name == "ring":
        return [_circle(1.0), _circle(rng.uniform(0.45, 0.62))[::-1]]
    if class_name == "rectangle":
        return [np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (1.0, rng.uniform(0.55, 1.0))]
    if class_name == "triangle":
        return [_circle(1.0, 3)]
    if class_name == "star":
        radii = np.where(np.arange(10) % 2, rng.uniform(0.42, 0.5), 1.0)
        return [_circle(1.0, 10) * radii[:, None]]
    arm = rng.uniform(0.26, 0.38)  # half the width of a cross's arm
    corner = np.array([[1, -arm], [1, arm], [arm, arm]])
    quarter_turn = np.array([[0, 1], [-1, 0]])
    return [np.concatenate([corner @ np.linalg.matrix_power(quarter_turn, turn) for turn in range(4)])]


def _circle(radius: float, num_points: int = 48) -> np.ndarray:
    angles = np.arange(num_points) * (2 * np.pi / num_points)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def rasterise(polygons: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Share of each pixel that polygons cover: exact along x, on four scan lines a pixel along y.

    Args:
      polygons: list of float64 [n, 2] (x, y), pixels of the window, all inside [0, width] x [0, height]; holes run
        the other way round.
      height: of the window.
      width: of the window.

    Returns:
      float32 [height, width] in 0..1.
    """
    start = np.concatenate(polygons)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    rows = (np.arange(height * _SUBROWS) + 0.5) / _SUBROWS
    below, above = start[:, None, 1] <= rows, end[:, None, 1] <= rows
    edge, row = np.nonzero(below != above)
    slope = (end[edge, 0] - start[edge, 0]) / (end[edge, 1] - start[edge, 1])
    x = np.clip(start[edge, 0] + (rows[row] - start[edge, 1]) * slope, 0, width)
    sign = np.where(below[edge, row], 1.0, -1.0)  # +1 where an edge enters going down, -1 where it leaves
    column = np.minimum(x.astype(np.int64), width - 1)
    rest = x - column
    cells = (row // _SUBROWS) * (width + 1) + column
    # a difference array: from the crossing on, every pixel of the row is covered `sign` more
    steps = np.bincount(cells, sign * (1 - rest), height * (width + 1))
    steps += np.bincount(cells + 1, sign * rest, height * (width + 1))
    covered = np.abs(np.cumsum(steps.reshape(height, width + 1), axis=1)[:, :width]) / _SUBROWS
    return np.clip(covered, 0, 1).astype(np.float32)


def random_shape(rng: np.random.Generator, size: int, sides: tuple[int, int]) -> Shape:
    """Draws one object: class, proportions, stretch, rotation, size and place.

    Args:
      rng: random numbers.
      size: side of the scene, pixels.
      sides: smallest and largest longer side of the object's own box, pixels; uniform in between.

    Returns:
      A Shape, cut off at the border of the scene (its crop may be empty).
    """
    class_id = int(rng.integers(len(CLASS_NAMES))) + 1
    polygons = outline(CLASS_NAMES[class_id - 1], rng)
    angle, stretch = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.0)
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    polygons = [(polygon * (1.0, stretch)) @ rotation for polygon in polygons]
    low, high = polygons[0].min(axis=0), polygons[0].max(axis=0)
    scale = rng.uniform(*sides) / (high - low).max()
    corner = rng.uniform(0, size, 2) - (high - low) * scale / 2  # the centre lies anywhere in the scene
    x0, y0 = np.floor(corner).astype(int)
    polygons = [(polygon - low) * scale + (corner - (x0, y0)) for polygon in polygons]
    width, height = np.ceil(polygons[0].max(axis=0)).astype(int)
    coverage = rasterise(polygons, height, width)
    mask = coverage >= 0.5
    points = _extreme_points(mask) + np.array([y0, x0], np.float32)
    top, left = max(0, -y0), max(0, -x0)
    cropped = coverage[top : max(top, size - y0), left : max(left, size - x0)]
    return Shape(class_id, y0 + top, x0 + left, cropped, int(mask.sum()), points)


def _extreme_points(mask: np.ndarray) -> np.ndarray:
    """The middle pixel of the outermost row or column on each side, and the centre: f32 [5, 2] (y, x), +0.5."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]

    def middle(line):
        found = np.flatnonzero(line)
        return found[len(found) // 2]

    pixels = [(top, middle(mask[top])), (middle(mask[:, right]), right), (bottom, middle(mask[bottom])),
              (middle(mask[:, left]), left), ((top + bottom) // 2, (left + right) // 2)]  # fmt: skip
    return np.array(pixels, np.float32) + 0.5


def place_shapes(
    rng: np.random.Generator, size: int, counts: tuple[int, int], sides: tuple[int, int]
) -> tuple[list[Shape], np.ndarray]:
    """Places objects one over another so that each keeps at least MIN_VISIBLE of its own area.

    An object that would break this for itself (the border) or for one below it is drawn anew.

    Args:
      rng: random numbers.
      size: side of the scene, pixels.
      counts: fewest and most objects.
      sides: smallest and largest longer side of an object, pixels.

    Returns:
      shapes: list of Shape, from the lowest to the topmost.
      owner: int8 [size, size], index of the topmost object at each pixel, -1 for the background.

    Raises:
      ValueError: the fewest objects do not find room.
    """
    wanted = int(rng.integers(counts[0], counts[1] + 1))
    shapes, visible = [], np.zeros(0, np.int64)
    owner = np.full((size, size), -1, np.int8)
    for attempt in range(100 * wanted):
        if len(shapes) == wanted:
            break
        # In a crowded scene large objects stop finding room: after half of the attempts only small ones are tried.
        largest = sides[1] if attempt < 50 * wanted else sides[0]
        shape = random_shape(rng, size, (sides[0], largest))
        mask, under = shape.mask, owner[shape.window]
        lost = np.bincount(under[mask] + 1, minlength=len(shapes) + 1)[1:]
        area = np.array([*(other.full_area for other in shapes), shape.full_area])
        left = np.append(visible - lost, mask.sum())
        if shape.full_area and (left >= MIN_VISIBLE * area).all():
            under[mask] = len(shapes)
            shapes.append(shape)
            visible = left
    if len(shapes) < counts[0]:
        raise ValueError(
            f"config.data.shapes asks for {counts[0]} objects of {sides[0]} px or more in {size} px; only {len(shapes)}"
            " found room; allowed: fewer or smaller objects, or a larger size."
        )
    return shapes, owner


def paint(rng: np.random.Generator, size: int, shapes: list[Shape]) -> np.ndarray:
    """Paints a background, the objects over it and sensor noise.

    Args:
      rng: random numbers.
      size: side of the scene, pixels.
      shapes: from the lowest to the topmost; only pixels of their masks are painted.

    Returns:
      uint8 [size, size, 3] RGB.
    """
    colours = [_colour(rng, (0.1, 0.55), (0.25, 0.9))]
    image = _texture(rng, (size, size), colours[0], _contrast(rng, colours[0], 0.35))
    for shape in shapes:
        colour = _distinct_colour(rng, colours)
        colours.append(colour)
        height, width = shape.coverage.shape
        pixels = _texture(rng, (height, width), colour, _contrast(rng, colour, 0.6))
        light = _gradient(rng, height, width)[:, :, None]
        pixels *= np.float32(0.82) + np.float32(0.36) * light
        # inner edges are blended with what lies below; pixels outside of the mask stay untouched
        alpha = np.where(shape.mask, shape.coverage, 0)[:, :, None]
        below = image[shape.window]
        below += alpha * (pixels - below)
    noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1.0, 9.0))
    return np.clip(image + noise + np.float32(0.5), 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator, saturation: tuple, value: tuple) -> np.ndarray:
    colour = colorsys.hsv_to_rgb(rng.uniform(), rng.uniform(*saturation), rng.uniform(*value))
    return np.array(colour, np.float32) * 255


def _distinct_colour(rng: np.random.Generator, others: list[np.ndarray]) -> np.ndarray:
    best, best_distance = None, -1.0
    for _ in range(8):
        colour = _colour(rng, (0.15, 0.95), (0.3, 1.0))
        distance = min(float(np.linalg.norm(colour - other)) for other in others)
        if distance > best_distance:
            best, best_distance = colour, distance
        if distance >= _MIN_CONTRAST:
            break
    return best


def _contrast(rng: np.random.Generator, colour: np.ndarray, strength: float) -> np.ndarray:
    """The second colour of a texture: the first one moved towards white, black or another hue."""
    target = (np.float32([255] * 3), np.float32([0] * 3), _colour(rng, (0.3, 1.0), (0.3, 1.0)))[rng.integers(3)]
    return colour + (target - colour) * np.float32(rng.uniform(0.15, strength))


def _texture(rng: np.random.Generator, shape: tuple[int, int], first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """A two-coloured texture, float32 [h, w, 3], 0..255."""
    pattern = (_gradient, _stripes, _checks, _dots, _clouds)[rng.integers(5)]
    return first + pattern(rng, *shape)[:, :, None] * (second - first)


def _axis(rng: np.random.Generator, height: int, width: int, turn: float = 0.0, angle: float | None = None):
    """Distance along a random direction, float32 [h, w], pixels."""
    angle = (rng.uniform(0, 2 * np.pi) if angle is None else angle) + turn
    y, x = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
    return y[:, None] * np.float32(np.sin(angle)) + x * np.float32(np.cos(angle))


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    along = _axis(rng, height, width)
    low, high = along[[0, 0, -1, -1], [0, -1, 0, -1]].min(), along[[0, 0, -1, -1], [0, -1, 0, -1]].max()
    return (along - low) / max(high - low, np.float32(1))


def _wave(along: np.ndarray, period: float, phase: float) -> np.ndarray:
    """A square wave with soft edges, 0..1."""
    wave = np.sin(along * np.float32(2 * np.pi / period) + np.float32(phase))
    return np.clip(wave * np.float32(period / 4) + np.float32(0.5), 0, 1)


def _stripes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _wave(_axis(rng, height, width), rng.uniform(5, 18), rng.uniform(0, 6))


def _checks(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    angle, period = rng.uniform(0, 2 * np.pi), rng.uniform(8, 24)
    first = _wave(_axis(rng, height, width, angle=angle), period, rng.uniform(0, 6))
    second = _wave(_axis(rng, height, width, np.pi / 2, angle), period, rng.uniform(0, 6))
    return first + second - 2 * first * second


def _dots(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    angle, step = rng.uniform(0, 2 * np.pi), np.float32(2 * np.pi / rng.uniform(7, 16))
    first = np.cos(_axis(rng, height, width, angle=angle) * step)
    second = np.cos(_axis(rng, height, width, np.pi / 2, angle) * step)
    return np.clip((first + second - np.float32(0.6)) * 2, 0, 1)


def _clouds(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Value noise of two octaves: random grids enlarged linearly."""
    coarse = rng.uniform(12, 30)
    total = np.zeros((height, width), np.float32)
    for cell, weight in ((coarse, 0.65), (coarse / 3, 0.35)):
        grid = rng.random((int(height / cell) + 2, int(width / cell) + 2), np.float32)
        total += np.float32(weight) * _enlarge(_enlarge(grid, height, cell).T, width, cell).T
    return np.clip((total - np.float32(0.5)) * 2 + np.float32(0.5), 0, 1)


def _enlarge(grid: np.ndarray, length: int, cell: float) -> np.ndarray:
    """Enlarges the rows of a grid linearly to `length` samples, `cell` samples between two rows."""
    # no matrix product: BLAS threads cost more than they bring at this size
    at = np.arange(length, dtype=np.float32) / np.float32(cell)
    low = at.astype(np.int64)
    share = (at - low)[:, None]
    return grid[low] * (1 - share) + grid[low + 1] * share
