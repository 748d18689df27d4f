"""Images that are too large for a network: predicted tile by tile, and joined where a border cut an object.

Tiles overlap, and every place of the image is one tile's to judge, the one in whose middle it lies most. What it sees
whole is taken from it alone, so that nothing is found twice. An object longer than the overlap may be cut there:

- A tile that sees it whole is believed, and pieces that agree with it, where both tiles look, are dropped.
- Pieces that agree where both tiles look are united.
"""

import bisect
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from mask_rcnn_tf.coco.results import from_centres, make_result
from mask_rcnn_tf.coco.rle import encode_crop
from mask_rcnn_tf.config import DetectionConfig
from mask_rcnn_tf.ops.masks import paste_bitmap
from mask_rcnn_tf.progress import Progress

AGREEMENT = 0.5  # IoU, in what two tiles see, from which on two detections are one object
SMALLEST = 64  # side of a tile, pixels
BORDER = 0.01  # of a tile's side; boxes that come nearer to an inner side of it are cut by it

Region = tuple[int, int, int, int]  # y1, x1, y2, x2, whole pixels of the image
Predict = Callable[[list[np.ndarray]], list[dict]]


@dataclasses.dataclass(frozen=True)
class Tiling:
    """How an image is cut.

    Attributes:
      side: of a tile, pixels of the image. A tile is resized as an image of its size is: objects should be as large in
        tiles as they are in images that the model was trained on.
      overlap: of neighbours, at least, pixels. What is longer comes in pieces, which are joined.

    Raises:
      ValueError: a tile is too small, or overlaps by more than half of it.
    """

    side: int
    overlap: int

    def __post_init__(self):
        if self.side < SMALLEST:
            raise ValueError(f"tile is {self.side}; allowed: {SMALLEST} or more pixels.")
        if not 0 <= self.overlap <= self.side // 2:
            raise ValueError(f"overlap is {self.overlap}; allowed: 0 to {self.side // 2} pixels, half of the tile.")


@dataclasses.dataclass
class Piece:
    """What a tile found of an object.

    Attributes:
      box: float32 [4], pixels of the image.
      score: of the detection.
      class_id: 1..C.
      tile: that found it.
      is_cut: whether an inner side of the tile cuts it.
      mask: bool [ch, cw] in a window of the image, or None.
      origin: (y, x) of the window in the image.
      keypoints: float32 [J, 3] (x, y, score), pixels of the image, or None.
    """

    box: np.ndarray
    score: float
    class_id: int
    tile: Region
    is_cut: bool
    mask: np.ndarray | None = None
    origin: tuple[int, int] = (0, 0)
    keypoints: np.ndarray | None = None


def grid(image_shape: tuple[int, int], tiling: Tiling) -> list[Region]:
    """The tiles of an image, row by row: all of one size, the last of a row or column moved back into the image.

    Args:
      image_shape: (h, w), pixels.
      tiling: how it is cut; an image that is shorter than a tile has tiles as long as itself.
    """
    step = tiling.side - tiling.overlap
    starts = [
        [0] if side <= tiling.side else [*range(0, side - tiling.side, step), side - tiling.side]
        for side in image_shape
    ]
    height, width = (min(side, tiling.side) for side in image_shape)
    return [(y, x, y + height, x + width) for y, x in itertools.product(*starts)]


def predict_tiles(
    predict: Predict, image: np.ndarray, tiling: Tiling, detection: DetectionConfig, verbose: int = 0
) -> list[Piece]:
    """The objects of an image, found tile by tile; memory grows with what is found, not with the image.

    Args:
      predict: from uint8 images to detections an image in their pixels, as `mask_rcnn_tf.make_predictor` gives it.
      image: uint8 [h, w, 3]; anything that has a shape and gives such arrays when it is sliced.
      tiling: how it is cut.
      detection: of the model's configuration: how masks are pasted.
      verbose: 0 hides the progress.

    Returns:
      Best first; at most `detection.max_detections` a tile, any number in all. In tiles that are black or white all
      over nothing is looked for: maps have many, beside what was flown over.
    """
    shape = tuple(image.shape[:2])
    tiles, found = grid(shape, tiling), []
    progress = Progress(len(tiles), "tile", verbose=verbose)
    for region in tiles:
        y1, x1, y2, x2 = region
        pixels, found_here = np.ascontiguousarray(image[y1:y2, x1:x2]), []
        if pixels.any() and (pixels < 255).any():
            (detections,) = predict([pixels])
            found_here = list(pieces(detections, region, shape, detection))
        found.append(found_here)
        progress.add(1)
    return joined(found, tiles, shape)


def pieces(
    detections: dict, region: Region, image_shape: tuple[int, int], detection: DetectionConfig
) -> Iterator[Piece]:
    """What a tile found, in pixels of the image.

    Args:
      detections: of the tile, in its pixels, as `predict_images` gives them.
      region: the tile.
      image_shape: (h, w).
      detection: how masks are pasted.
    """
    corner, tile_shape = np.array(region[:2]), (region[2] - region[0], region[3] - region[1])
    for row, inside in enumerate(np.asarray(detections["detection_boxes"], np.float32)):
        piece = Piece(
            box=inside + np.tile(corner, 2).astype(np.float32),
            score=float(detections["detection_scores"][row]),
            class_id=int(detections["detection_classes"][row]),
            tile=region,
            is_cut=False,
        )
        piece.is_cut = _is_cut(piece.box, region, image_shape)
        if "detection_masks" in detections:
            rule = tile_shape, detection.mask_threshold, detection.paste
            piece.mask, origin = paste_bitmap(detections["detection_masks"][row], inside, *rule)
            piece.origin = (int(origin[0]) + region[0], int(origin[1]) + region[1])
        if "detection_keypoints" in detections:
            piece.keypoints = detections["detection_keypoints"][row] + np.array([region[1], region[0], 0], np.float32)
        yield piece


def _is_cut(box: np.ndarray, region: Region, image_shape: tuple[int, int]) -> bool:
    """Whether an object reaches a side of a tile that is no side of the image."""
    border = BORDER * max(region[2] - region[0], region[3] - region[1])
    low = any(start > 0 and side < start + border for start, side in zip(region[:2], box[:2], strict=True))
    ends = zip(region[2:], image_shape, box[2:], strict=True)
    return low or any(end < length and side > end - border for end, length, side in ends)


def joined(found: list[list[Piece]], tiles: list[Region], image_shape: tuple[int, int]) -> list[Piece]:
    """The pieces of each tile as objects of the image.

    Args:
      found: of each tile.
      tiles: of `grid`.
      image_shape: (h, w).

    Returns:
      Objects, best first.
    """
    kept = {tile: [] for tile in tiles}
    judge_of = _judges(tiles)
    for piece in itertools.chain(*found):
        judge = judge_of(piece.box)
        if judge == piece.tile or not _is_whole(piece.box, judge, image_shape):
            kept[piece.tile].append(piece)
    pairs = list(_agreeing(kept))
    replaced = {
        id(cut) for pair in pairs for cut, other in itertools.permutations(pair) if cut.is_cut and not other.is_cut
    }
    flat = [piece for of_tile in kept.values() for piece in of_tile if id(piece) not in replaced]
    number_of = {id(piece): number for number, piece in enumerate(flat)}
    group = list(range(len(flat)))
    for pair in pairs:
        if not replaced & {id(piece) for piece in pair}:
            a, b = (_root(group, number_of[id(piece)]) for piece in pair)
            group[max(a, b)] = min(a, b)
    members: dict[int, list[Piece]] = {}
    for number, piece in enumerate(flat):
        members.setdefault(_root(group, number), []).append(piece)
    return sorted(map(_united, members.values()), key=lambda piece: -piece.score)


def _judges(tiles: list[Region]) -> Callable[[np.ndarray], Region]:
    """From a box to the tile that its middle belongs to: overlaps are divided in their middle."""
    by_axis = []
    for axis in (0, 1):
        spans = sorted({(tile[axis], tile[axis + 2]) for tile in tiles})
        limits = [(end + start) / 2 for (_, end), (start, _) in itertools.pairwise(spans)]
        by_axis.append((spans, limits))

    def judge(box: np.ndarray) -> Region:
        (y1, y2), (x1, x2) = (
            spans[bisect.bisect_right(limits, float(box[axis] + box[axis + 2]) / 2)]
            for axis, (spans, limits) in enumerate(by_axis)
        )
        return y1, x1, y2, x2

    return judge


def _agreeing(kept: dict[Region, list[Piece]]) -> Iterator[tuple[Piece, Piece]]:
    """Pairs of detections of different tiles that are one object; two whole ones only if they are of a class.

    What a border cuts may be taken for something else there.
    """
    neighbours = _neighbours(list(kept))
    for tile, other in ((one, near) for one in kept for near in neighbours[one] if near > one):
        region = _shared(tile, other)
        for first, second in itertools.product(*(_reaching(kept[one], region) for one in (tile, other))):
            is_possible = first.class_id == second.class_id or first.is_cut or second.is_cut
            if is_possible and _agree(first, second, region):
                yield first, second


def _root(group: list[int], number: int) -> int:
    while group[number] != number:
        number = group[number]
    return number


def _neighbours(tiles: list[Region]) -> dict[Region, list[Region]]:
    """The other tiles that each overlaps."""
    rows: dict[int, list[Region]] = {}
    for tile in tiles:
        rows.setdefault(tile[0], []).append(tile)
    found = {}
    for tile in tiles:
        near = (other for start, row in rows.items() if abs(start - tile[0]) < tile[2] - tile[0] for other in row)
        found[tile] = [other for other in near if other != tile and _shared(tile, other) is not None]
    return found


def _shared(first: Sequence[float], second: Sequence[float]) -> Region | None:
    low = [max(pair) for pair in zip(first[:2], second[:2], strict=True)]
    high = [min(pair) for pair in zip(first[2:], second[2:], strict=True)]
    return (*low, *high) if low[0] < high[0] and low[1] < high[1] else None


def _is_whole(box: np.ndarray, region: Region, image_shape: tuple[int, int]) -> bool:
    """Whether a tile sees all of a box."""
    y1, x1, y2, x2 = region
    inside = box[0] >= y1 and box[1] >= x1 and box[2] <= y2 and box[3] <= x2
    return bool(inside) and not _is_cut(box, region, image_shape)


def _reaching(found: list[Piece], region: Region) -> list[Piece]:
    """Those whose box reaches into a region."""
    return [piece for piece in found if _shared(piece.box.tolist(), region) is not None]


def _agree(first: Piece, second: Piece, region: Region) -> bool:
    """Whether detections of two tiles are one object, by what is inside the region that both tiles see."""
    boxes = [_shared(piece.box.tolist(), region) for piece in (first, second)]
    if (both := _shared(*boxes)) is None:
        return False
    if first.mask is None or second.mask is None:
        inside, *areas = (float(np.prod(np.subtract(box[2:], box[:2]))) for box in (both, *boxes))
        return inside >= AGREEMENT * (sum(areas) - inside)
    one, other = (_window(piece, region) for piece in (first, second))
    union = np.count_nonzero(one | other)
    return union > 0 and np.count_nonzero(one & other) >= AGREEMENT * union


def _window(piece: Piece, region: Region) -> np.ndarray:
    """A piece's mask in a region, bool [h, w]."""
    y1, x1, y2, x2 = region
    window = np.zeros((y2 - y1, x2 - x1), bool)
    placed = (*piece.origin, piece.origin[0] + piece.mask.shape[0], piece.origin[1] + piece.mask.shape[1])
    shared = _shared(placed, region)
    if shared is not None:
        top, left, bottom, right = shared
        window[top - y1 : bottom - y1, left - x1 : right - x1] = piece.mask[
            top - placed[0] : bottom - placed[0], left - placed[1] : right - placed[1]
        ]
    return window


def _united(members: list[Piece]) -> Piece:
    """One object of the detections that are it."""
    whole = [piece for piece in members if not piece.is_cut]
    best = max(whole or members, key=lambda piece: piece.score)
    if whole or len(members) == 1:
        return best
    boxes = np.stack([piece.box for piece in members])
    united = dataclasses.replace(best, box=np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]))
    if best.mask is not None:
        ends = [np.add(piece.origin, piece.mask.shape) for piece in members]
        low, high = np.min([piece.origin for piece in members], 0), np.max(ends, 0)
        region = (*map(int, low), *map(int, high))
        united.origin, united.mask = region[:2], np.logical_or.reduce([_window(piece, region) for piece in members])
    return united


def to_results(
    objects: list[Piece], image_id: int, image_shape: tuple[int, int], category_ids: Sequence[int | None]
) -> list[dict]:
    """Objects as COCO results, as `coco.results.to_results` gives them.

    Args:
      objects: of `predict_tiles`.
      image_id: the file's id of the image.
      image_shape: (h, w).
      category_ids: the file's id of classes 1..C; None leaves out what is found of a class.
    """
    results = []
    for found in (found for found in objects if category_ids[found.class_id - 1] is not None):
        result = make_result(image_id, category_ids[found.class_id - 1], found.box, found.score)
        if found.mask is not None:
            result["segmentation"] = encode_crop(found.mask, found.origin, image_shape)
        if found.keypoints is not None:
            result["keypoints"] = from_centres(found.keypoints)
        results.append(result)
    return results
