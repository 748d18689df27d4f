"""Photos of a COCO-format folder as training scenes of different sizes, an object cut by the right or bottom border.

Needs NumPy, pillow and pycocotools.
"""

import numpy as np
from PIL import Image
from pycocotools.coco import COCO

SIDE, OBJECTS, CLASSES = 256, 8, 6


class PhotoScenes:
    """Two scenes a step, a landscape and a portrait, so that both are padded to SIDE x SIDE.

    Args:
        annotations: COCO annotation file with masks.
        images: Folder (pathlib.Path) of its images.
    """

    def __init__(self, annotations, images):
        self.coco, self.images = COCO(str(annotations)), images
        scenes = [self.scene(entry) for entry in sorted(self.coco.getImgIds())]
        scenes = [scene for scene in scenes if scene is not None]
        self.wide = [scene for scene in scenes if np.argmax(scene["image"].shape[:2]) == 1]
        self.tall = [scene for scene in scenes if np.argmax(scene["image"].shape[:2]) == 0]

    def __call__(self, step):
        """The scenes of a step, with the keys of `recipe.make_scene`."""
        return [self.wide[step % len(self.wide)], self.tall[step % len(self.tall)]]

    def scene(self, image_id):
        """A photo cut through its largest object, its longer side SIDE; None without objects."""
        entry = self.coco.loadImgs(image_id)[0]
        found = self.coco.loadAnns(self.coco.getAnnIds(image_id, iscrowd=False))
        found = sorted(found, key=lambda annotation: (-annotation["area"], annotation["id"]))[:OBJECTS]
        if not found:
            return None
        x, y, width, height = found[0]["bbox"]
        right, bottom = entry["width"], entry["height"]
        if image_id % 2:
            right = max(int(x + 0.7 * width), right // 2)
        else:
            bottom = max(int(y + 0.7 * height), bottom // 2)
        scale = SIDE / max(right, bottom)
        size = (round(right * scale), round(bottom * scale))
        photo = Image.open(self.images / entry["file_name"]).convert("RGB").crop((0, 0, right, bottom))
        masks = [Image.fromarray(self.coco.annToMask(a)).crop((0, 0, right, bottom)).resize(size, 0) for a in found]
        kept = [(np.asarray(mask), a["category_id"]) for mask, a in zip(masks, found, strict=True)]
        kept = [(mask, category) for mask, category in kept if mask.sum() > 32]
        if not kept or size[0] == size[1]:
            return None
        return {
            "image": np.array(photo.resize(size, Image.Resampling.BILINEAR)),
            "boxes": np.array([tight(mask) for mask, _ in kept], np.float32),
            "labels": np.array([category % CLASSES + 1 for _, category in kept], np.int64),
            "masks": np.stack([mask for mask, _ in kept]).astype(np.uint8),
        }


def tight(mask):
    """(x1, y1, x2, y2) around the pixels of a mask."""
    rows, columns = np.nonzero(mask)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
