"""Pictures of boxes and masks on images, and sheets of such pictures."""

import colorsys
import math
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.segmentation import mask_runs
from mask_rcnn_tf.pixels import picture_of

MIN_SIDE = 400  # pixels; smaller pictures are magnified so that text is readable
MAX_ASPECT = 10  # longer pictures are magnified until their longer side has this many times MIN_SIDE
MASK_ALPHA = 0.38
TEXT_SHARE = 0.12  # of the picture, at most, under labels; beyond it they hide what they name
MIN_FONT = 9  # pixels
MIN_KEYPOINT = 0.05  # score, or visibility, above which a keypoint is drawn; Detectron2's `visualizer.py` has the same
GOLDEN = 0.61803398875  # consecutive multiples of it, modulo 1, stay far apart


def color(number: int) -> tuple[int, int, int]:
    """A vivid RGB colour (levels 0..255) for a whole number: always the same, and far from its neighbours'."""
    hue = (0.58 + number * GOLDEN) % 1.0
    lightness, saturation = ((0.55, 0.95), (0.66, 0.85), (0.45, 0.9))[number // 8 % 3]
    return tuple(round(255 * level) for level in colorsys.hls_to_rgb(hue, lightness, saturation))


def draw(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[str] | None = None,
    masks: Sequence[np.ndarray] | None = None,
    scores: Sequence[float] | None = None,
    color_numbers: Sequence[int] | None = None,
    *,
    min_side: int = MIN_SIDE,
) -> np.ndarray:
    """Draws instances on an image: tinted masks with an outline, boxes, and a label with the score.

    Labels move off each other, and get smaller where they are many; where even small ones would hide the picture they
    are left out.

    Args:
      image: uint8 [h, w, 3] RGB, or as `pixels.picture_of` takes it; it is not changed.
      boxes: float [n, 4] yxyx, pixels of `image`.
      labels: n texts, or None.
      masks: n bool [h, w], or None.
      scores: n numbers from 0 to 1 behind the labels, or None.
      color_numbers: n whole numbers; instances with the same number have the same colour (give classes for a colour a
        class). None: a colour an instance.
      min_side: the picture is magnified by a whole factor until its shorter side has at least this many pixels.

    Returns:
      uint8 [factor * h, factor * w, 3].

    Raises:
      ValueError: the image is none, or another argument has not n rows.
    """
    rows = {"labels": labels, "masks": masks, "scores": scores, "color_numbers": color_numbers}
    boxes = np.asarray(boxes, float).reshape(-1, 4)
    for name, value in rows.items():
        if value is not None and len(value) != len(boxes):
            raise ValueError(f"{name} has {len(value)} rows; allowed: {len(boxes)}, one a box.")
    shapes = None
    if masks is not None:
        shapes = [(int(np.count_nonzero(mask)), lambda mask=mask: _crop(mask)) for mask in masks]
    colors = [color(number) for number in (range(len(boxes)) if color_numbers is None else color_numbers)]
    return _draw(image, boxes, _texts(labels, scores, len(boxes)), shapes, colors, min_side)


def _draw(
    image: np.ndarray,
    boxes: np.ndarray,
    texts: list[str],
    shapes: list[tuple[float, Callable]] | None,
    colors: Sequence[tuple],
    min_side: int,
) -> np.ndarray:
    """`draw` with masks as (area, function that gives the mask's crop and its corner): one is in memory at a time."""
    image = np.asarray(image)
    if image.dtype not in (np.uint8, np.uint16) or image.ndim != 3:
        raise ValueError(f"image is {image.dtype} {list(image.shape)}; allowed: uint8 or uint16 [h, w, C].")
    image = picture_of(image)
    short, long = sorted(image.shape[:2])
    factor = max(1, min(math.ceil(min_side / short), MAX_ASPECT * min_side // long))
    size = (image.shape[1] * factor, image.shape[0] * factor)
    picture = np.array(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) if factor > 1 else image.copy()
    line = max(2, round(min(size) / 320))
    for crop, corner, rgb in _largest_first(shapes or [], colors):
        _tint(picture, crop, corner, rgb, factor, line)
    canvas = Image.fromarray(picture)
    pen = ImageDraw.Draw(canvas)
    for box, rgb in zip(boxes * factor, colors, strict=True):
        y1, x1, y2, x2 = box
        if y2 > y1 and x2 > x1:
            pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=rgb, width=max(1, line - 1))
    _write_labels(pen, boxes * factor, texts, colors, size)
    return np.array(canvas)


def draw_results(
    image: np.ndarray,
    results: Sequence[dict],
    names: Mapping[int, str] | None = None,
    score_threshold: float = 0.0,
    min_side: int = MIN_SIDE,
    *,
    skeleton: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """Draws COCO results, or annotations in COCO's form, on their image.

    Each category has its colour; where there is only one, each instance has.

    Args:
      image: uint8 [h, w, 3] RGB.
      results: dicts with `category_id`, `bbox` xywh, and optional `score`, `segmentation` (RLE or polygons) and
        `keypoints` ([x, y, score or visibility] * J, from centres of pixels).
      names: label by category id; ids without one are shown as numbers.
      score_threshold: results with a lower score are not drawn.
      min_side: see `draw`.
      skeleton: pairs of keypoints, from 0, that are joined by lines.

    Returns:
      uint8 picture, as `draw`.
    """
    names = names or {}
    kept = [result for result in results if result.get("score", 1.0) >= score_threshold]
    categories = [result["category_id"] for result in kept]
    one_kind = len(names) == 1 or not names and len(set(categories)) < 2
    labels = [names.get(number, str(number)) for number in categories]
    scores = [result["score"] for result in kept] if all("score" in result for result in kept) else None
    texts = _texts(labels, scores, len(kept))
    colors = [color(number) for number in (range(len(kept)) if one_kind else categories)]
    picture = draw_labelled(image, kept, texts, colors, min_side)
    points = [result.get("keypoints") or () for result in kept]
    return draw_keypoints(picture, points, skeleton, picture.shape[0] // image.shape[0]) if any(points) else picture


def draw_labelled(
    image: np.ndarray,
    rows: Sequence[dict],
    labels: Sequence[str],
    colors: Sequence[tuple[int, int, int]],
    min_side: int = MIN_SIDE,
) -> np.ndarray:
    """Draws COCO results or annotations, each with a label and a colour of the caller's.

    Args:
      image: uint8 [h, w, 3] RGB.
      rows: n dicts with `bbox` xywh and optional `segmentation` (RLE or polygons).
      labels: n texts; "" is none.
      colors: n RGB colours, levels 0..255.
      min_side: see `draw`.

    Returns:
      uint8 picture, as `draw`.
    """
    boxes = [(y, x, y + height, x + width) for x, y, width, height in (row["bbox"] for row in rows)]
    runs = [_runs(row.get("segmentation"), image.shape[:2]) for row in rows]
    shapes = [(rle.area(counts), lambda counts=counts: rle.crop(counts, *image.shape[:2])) for counts in runs]
    return _draw(image, np.reshape(boxes, (-1, 4)), list(labels), shapes, colors, min_side)


def draw_keypoints(
    picture: np.ndarray, keypoints: Sequence[Sequence[float]], skeleton: Sequence[tuple[int, int]], factor: int = 1
) -> np.ndarray:
    """Draws keypoints as dots, each in its colour, and what joins them as lines in that of the instance.

    Args:
      picture: uint8 [factor * h, factor * w, 3] RGB; it is not changed.
      keypoints: [x, y, score or visibility] * J of each instance, in pixels of [h, w], from their centres. Those of at
        most `MIN_KEYPOINT` are not drawn.
      skeleton: pairs of keypoints, from 0.
      factor: by which the picture is magnified.
    """
    canvas = Image.fromarray(picture)
    pen, line = ImageDraw.Draw(canvas), max(2, round(min(canvas.size) / 240))
    for number, values in enumerate(keypoints):
        rows = np.reshape(np.asarray(values, float), (-1, 3))
        seen, places = rows[:, 2] > MIN_KEYPOINT, [tuple(place) for place in (rows[:, :2] + 0.5) * factor]
        for ends in skeleton:
            if max(ends) < len(rows) and seen[list(ends)].all():
                pen.line([places[end] for end in ends], fill=color(number), width=line)
        for index in np.flatnonzero(seen):
            (x, y), radius = places[index], 1.5 * line
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color(index), outline="white")
    return np.array(canvas)


def grid(images: Sequence[np.ndarray], columns: int, titles: Sequence[str] | None = None, gap: int = 12) -> np.ndarray:
    """Lays pictures out in rows on white, each centred in a cell of the largest one's size.

    Args:
      images: uint8 [h, w, 3] each, sizes may differ; at least one.
      columns: pictures a row.
      titles: one text a column, above the first row, or None.
      gap: pixels between pictures and around them.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: no images, or titles do not fit the columns.
    """
    if not len(images) or columns < 1:
        raise ValueError(f"grid got {len(images)} images and columns = {columns}; allowed: at least one of each.")
    if titles is not None and len(titles) != columns:
        raise ValueError(f"titles has {len(titles)} texts; allowed: columns = {columns}, one a column.")
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    font = ImageFont.load_default(size=max(16, width // 22))
    head = 0 if titles is None else 2 * int(font.size)
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap + head), "white")
    for index, image in enumerate(images):
        left = gap + index % columns * (width + gap) + (width - image.shape[1]) // 2
        top = gap + head + index // columns * (height + gap) + (height - image.shape[0]) // 2
        sheet.paste(Image.fromarray(image), (left, top))
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles or ()):
        centre = (gap + column * (width + gap) + width / 2, (gap + head) / 2 + gap / 4)
        pen.text(centre, title, fill=(40, 40, 40), font=font, anchor="mm")
    return np.array(sheet)


def side_by_side(pairs: Sequence[Sequence[np.ndarray]], titles: Sequence[str] | None = None) -> np.ndarray:
    """Pairs of pictures, a pair a row: predictions beside truth.

    Args:
      pairs: tuples of equally many uint8 [h, w, 3] pictures.
      titles: one text a column, such as ("truth", "prediction"), or None.

    Returns:
      uint8 [H, W, 3].
    """
    return grid([image for pair in pairs for image in pair], columns=len(pairs[0]), titles=titles)


def write_image(image: np.ndarray, path: str | pathlib.Path):
    """Writes a uint8 [h, w, 3] RGB picture, in the format of the path's ending, making the folder."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"quality": 92, "subsampling": 0} if path.suffix.lower() in (".jpg", ".jpeg") else {}
    Image.fromarray(image).save(path, **options)


def _runs(segmentation: dict | list | None, image_shape: tuple[int, int]) -> np.ndarray:
    return mask_runs(segmentation, *image_shape, may_be_empty=True) if segmentation else np.zeros(0, np.int32)


def _crop(mask: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of a bitmap that has pixels, and its corner (y0, x0)."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return np.zeros((0, 0), bool), (0, 0)
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], (int(rows[0]), int(columns[0]))


def _largest_first(shapes: list[tuple[float, Callable]], colors: Sequence[tuple]) -> Iterator[tuple]:
    """(crop, corner, colour) of each mask that has pixels; small ones come last and stay visible on top."""
    for index in sorted(range(len(shapes)), key=lambda index: -shapes[index][0]):
        crop, corner = shapes[index][1]()
        if crop.size:
            yield crop, corner, colors[index]


def _tint(picture: np.ndarray, crop: np.ndarray, corner: tuple[int, int], rgb: tuple, factor: int, line: int):
    """Tints `picture` in place inside a mask's crop, level by level through a table: linear in the crop's pixels."""
    inside = crop
    if factor > 1:  # magnified steps of pixels become a curve; a margin, so that it closes at the border
        window = Image.fromarray(np.pad(crop, 1).astype(np.uint8) * 255)
        smooth = window.resize((window.width * factor, window.height * factor), Image.Resampling.BILINEAR)
        smooth = np.asarray(smooth.filter(ImageFilter.GaussianBlur(0.6 * factor)))
        inside = smooth[factor:-factor, factor:-factor] >= 128
    core = _eroded(inside, line)
    top, left = (side * factor for side in corner)
    view = picture[top : top + inside.shape[0], left : left + inside.shape[1]]
    for channel, level in enumerate(rgb):
        table = (np.arange(256) * (1 - MASK_ALPHA) + level * MASK_ALPHA).astype(np.uint8)
        values = np.where(core, table[view[..., channel]], np.uint8(level))
        np.copyto(view[..., channel], values, where=inside)


def _eroded(mask: np.ndarray, radius: int) -> np.ndarray:
    """The pixels of a bool mask whose whole square of 2 * radius + 1 lies in it; outside of its array there is nothing.

    Windows grow by doubling, an axis after the other: the time depends on the radius by its logarithm.
    """
    mask, side = np.pad(mask, radius), 2 * radius + 1
    for axis in (0, 1):
        covered = 1
        while covered < side:
            step = min(covered, side - covered)
            low, high = ([slice(None)] * 2 for _ in range(2))
            low[axis], high[axis] = slice(None, -step), slice(step, None)
            mask, covered = mask[tuple(low)] & mask[tuple(high)], covered + step
    return mask


def _texts(labels: Sequence[str] | None, scores: Sequence[float] | None, count: int) -> list[str]:
    words = [""] * count if labels is None else [str(label) for label in labels]
    if scores is not None:
        words = [f"{word} {value:.2f}".strip() for word, value in zip(words, scores, strict=True)]
    return words


def _write_labels(pen: ImageDraw.ImageDraw, boxes, texts: list[str], colors: Sequence[tuple], size: tuple[int, int]):
    font_size = max(13, int(min(size) / 36))
    while font_size >= MIN_FONT:
        font, margin = ImageFont.load_default(size=font_size), max(5, round(0.22 * font_size))
        sizes = [
            (pen.textlength(text, font=font) + margin + 1, font_size + margin) if text else (0, 0) for text in texts
        ]
        if sum(width * height for width, height in sizes) <= TEXT_SHARE * size[0] * size[1]:
            break
        font_size -= max(1, font_size // 16)
    else:
        return
    taken = np.zeros((0, 4))
    for box, text, label_size, rgb in zip(boxes, texts, sizes, colors, strict=True):
        if not text:
            continue
        place = _label_place(box, label_size, size, taken, boxes)
        taken = np.r_[taken, [place]]
        x1, y1, x2, y2 = (float(side) for side in place)
        pen.rounded_rectangle((x1, y1, x2, y2), radius=3, fill=rgb)
        dark = 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2] > 140
        pen.text(((x1 + x2) / 2, (y1 + y2) / 2), text, fill="black" if dark else "white", font=font, anchor="mm")


def _label_place(box, label_size: tuple, size: tuple[int, int], taken: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Where a label goes (x1, y1, x2, y2): above, inside or below its box, where it hides least."""
    y1, x1, y2, x2 = box
    extent = np.array(label_size)
    corners = [(x, y) for x in (x1, x2 - extent[0]) for y in (y1 - extent[1], y1, y2, y2 - extent[1])]
    corners = np.clip(corners, 0, np.maximum(np.array(size) - extent, 0))
    places = np.concatenate([corners, corners + extent], axis=1)
    objects = boxes[:, [1, 0, 3, 2]]
    sides = np.maximum(objects[:, 2:] - objects[:, :2], 1)
    hidden = 0.3 * (_overlaps(places, objects) / sides.prod(1)).sum(1)  # share of each object: small ones count
    return places[np.argmin(_overlaps(places, taken).sum(1) / extent.prod() + hidden)]


def _overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas common to rectangles (x1, y1, x2, y2): [n, 4] and [m, 4] to [n, m]."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    return np.maximum(sides, 0).prod(2)
