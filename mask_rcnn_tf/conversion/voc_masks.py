"""Pascal VOC's masks: which value of a picture is which object, and which colour is which class."""

import pathlib
import re

import numpy as np

from mask_rcnn_tf.coco import boxes
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import label_images, outlines
from mask_rcnn_tf.conversion.image_folder import files_below, stem
from mask_rcnn_tf.conversion.labelled import LabelledImage, LabelledObject, Report, category_name
from mask_rcnn_tf.conversion.text_files import read_text

OBJECTS, CLASSES = "SegmentationObject", "SegmentationClass"
OTHER_NAMES = {"SegmentationObjectPNG": OBJECTS, "SegmentationClassPNG": CLASSES}  # labelme2voc.py before version 5.3
DRAWN = tuple(f"{name}Visualization" for name in (OBJECTS, CLASSES, "Annotations"))  # by labelme2voc.py
MASK_FOLDERS = (OBJECTS, CLASSES, *OTHER_NAMES, *DRAWN)
NOBODY = 255  # the border between objects
LINE = re.compile(r"(.*):\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?::.*)?")  # of a label map
LABEL_MAP, CLASS_LIST = "labelmap.txt", "class_names.txt"
BACKGROUND = ("background", "_background_", "__ignore__", "ignored")
STANDARD = (
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person pottedplant sheep "
    "sofa train tvmonitor"
).split()


def palette() -> np.ndarray:
    """VOC's colours, uint8 [256, 3]: bit 3 k + c of an index is bit 7 - k of its channel c."""
    index = np.arange(256)
    channels = [sum(((index >> (3 * k + c)) & 1) << (7 - k) for k in range(8)) for c in range(3)]
    return np.stack(channels, 1).astype(np.uint8)


COLOURS = {int(value): index for index, value in enumerate(label_images.colour(palette()))}


class ClassNames:
    """The classes of a folder by colour and by index: of labelmap.txt or class_names.txt, or VOC's own twenty."""

    def __init__(self, folder: pathlib.Path):
        files = {name.rpartition("/")[2]: folder / name for name in files_below(folder)}
        by_index = dict(enumerate(STANDARD, 1))
        self.listed: tuple[str, ...] = ()
        self._by_value: dict[int, str] = {}
        try:
            if CLASS_LIST in files:
                lines = [line.strip() for line in read_text(files[CLASS_LIST], "names of classes").splitlines()]
                lines = [line for line in lines if line and line != BACKGROUND[2]]
                by_index = {index: category_name(line) for index, line in enumerate(lines) if line not in BACKGROUND}
                self.listed = tuple(by_index.values())
            elif LABEL_MAP in files:
                self._by_value = _label_map(files[LABEL_MAP])
                self.listed, by_index = tuple(self._by_value.values()), {}
        except Rejected as error:
            raise ValueError(f"names of classes in '{folder}': {error}.") from None
        colours = {index: value for value, index in COLOURS.items()}
        self._by_value |= {key: name for i, name in by_index.items() for key in (i, colours[i % 256])}

    def of(self, value: int) -> str:
        """The class of a value or colour. Raises Rejected: there is none."""
        if value not in self._by_value:
            rgb = value - label_images.FIRST_COLOUR
            came = value if rgb < 0 else f"colour {rgb >> 16}, {rgb >> 8 & 255}, {rgb & 255}"
            raise Rejected("mask of a class that has no name", f"{came}; allowed: those of {LABEL_MAP} or {CLASS_LIST}")
        return self._by_value[value]


def _label_map(path: pathlib.Path) -> dict[int, str]:
    """Lines "name:red,green,blue:parts:actions"."""
    found = {}
    for line in read_text(path, "label map").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.fullmatch(line.strip())
        rgb = [int(number) for number in match.groups()[1:]] if match else [256]
        if max(rgb) > 255:
            raise ValueError(f"label map '{path}' has the line {line!r:.60}; allowed: name:red,green,blue::")
        name = match[1]
        if name not in BACKGROUND:
            found[int(label_images.colour(np.array(rgb)))] = category_name(name)
    return found


class MaskFolder:
    """The masks below a folder, by the name of their image.

    Args:
      folder: where folders `SegmentationObject` and `SegmentationClass` may be.
    """

    def __init__(self, folder: pathlib.Path):
        self.names = ClassNames(folder)
        self._paths: dict[str, dict[str, pathlib.Path]] = {OBJECTS: {}, CLASSES: {}}
        for name in files_below(folder):
            parts = name.split("/")
            for place, part in enumerate(parts[:-1]):
                kind = OTHER_NAMES.get(part, part)
                if kind in self._paths and name.lower().endswith((".png", ".tif", ".tiff", ".bmp")):
                    self._paths[kind][stem("/".join(parts[place + 1 :]))] = folder / name
        self._taken: set[str] = set()

    def left(self) -> list[str]:
        """Names of images with a mask that nobody has asked for."""
        return [key for key in self._paths[OBJECTS] if key not in self._taken]

    def shape(self, key: str) -> tuple[int, int]:
        """(h, w) of a mask. Raises Rejected: it cannot be read."""
        return label_images.size(self._paths[OBJECTS][key])

    def matched(
        self, objects: list[LabelledObject | None], image: LabelledImage, report: Report, key: str = ""
    ) -> list[LabelledObject]:
        """The objects of an image with their masks, and those that only the masks show.

        Args:
          objects: of its XML file, in its order; None for one that could not be read.
          image: the image.
          report: gets masks without a class.
          key: name of the mask; "" for the image's.

        Returns:
          The objects; those without a mask as they came.

        Raises:
          Rejected: a mask cannot be read.
        """
        key = key or self._key(image.file_name)
        if key not in self._paths[OBJECTS]:
            return [item for item in objects if item is not None]
        self._taken.add(key)
        shape = (image.height, image.width)
        values = _indices(label_images.read(self._paths[OBJECTS][key], shape))
        classes = None
        if key in self._paths[CLASSES]:
            classes = label_images.read(self._paths[CLASSES][key], shape, as_indices=False)
        free, found = dict(enumerate(objects, 1)), [item for item in objects if item is not None]
        for value, crop, (y, x) in label_images.masks(values):
            mask = outlines.windowed(crop, (y, x), shape)
            corners = np.array([y, x, y + crop.shape[0], x + crop.shape[1]], float)
            number = _fitting(value, corners, free)
            if number is not None:
                free.pop(number).segmentation = mask
                continue
            where = f"{OBJECTS}/{key}: value {value % label_images.FIRST_COLOUR}"
            try:
                found.append(LabelledObject(self._class(crop, (y, x), classes), where, mask))
            except Rejected as error:
                report.lose(error, where)
        return found

    def _key(self, file_name: str) -> str:
        parts = stem(file_name).split("/")
        keys = ["/".join(parts[start:]) for start in range(len(parts))]
        return next((key for key in keys if key in self._paths[OBJECTS]), keys[-1])

    def _class(self, crop: np.ndarray, origin: tuple[int, int], classes: np.ndarray | None) -> str:
        """The class that most pixels of a mask have."""
        if classes is None:
            raise Rejected("mask that fits no object of the XML file", f"and there is no {CLASSES}")
        y, x = origin
        under = classes[y : y + crop.shape[0], x : x + crop.shape[1]][crop]
        under, counts = np.unique(under[under > 0], return_counts=True)
        if not len(under):
            raise Rejected("mask of a class that has no name", "it has the background's")
        return self.names.of(int(under[counts.argmax()]))


def _indices(values: np.ndarray) -> np.ndarray:
    """Values with colours of VOC's palette as their indices, and nobody's as 0."""
    for value in np.unique(values):
        if value >= label_images.FIRST_COLOUR and int(value) in COLOURS:
            values = np.where(values == value, COLOURS[int(value)], values)
    return np.where(values == NOBODY, 0, values)


def _fitting(value: int, corners: np.ndarray, free: dict[int, LabelledObject | None]) -> int | None:
    """Which object without a mask a mask is of: that of its value, where the boxes agree, else another that agrees."""
    for number in [value, *(number for number in free if number != value)]:
        item = free.get(number)
        if item is not None:
            x, y, width, height = item.box
            if boxes.agree(np.array([y, x, y + height, x + width]), corners):
                return number
    return None
