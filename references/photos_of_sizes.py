"""Cuts and resizes photos of a COCO-format folder so that their longer sides go from 49 to 4600 pixels.

The file beside them has a category for each of torchvision's 91 rows but the background, so that no detection is left
out, and one object an image, which nothing but the readers of the file asks for. Needs NumPy and pillow.

python references/photos_of_sizes.py --annotations instances_val2017.json --images val2017 --output photos
python references/recipe_checkpoint.py --format torchvision --key photos --num_classes 90 --output photos.pth
"""

import argparse
import json
import pathlib

import numpy as np
from PIL import Image

COUNT, SMALLEST, LARGEST, CLASSES = 40, 49, 4600, 90
SHAPES = ((1.0, 1.0), (1.0, 0.6), (0.5, 1.0), (0.8, 0.7))  # what is kept of width and height, in turn


def cut(photo, index):
    """A photo without a part of its right and bottom, its longer side the `index`-th of COUNT."""
    right, bottom = (round(part * side) for part, side in zip(SHAPES[index % len(SHAPES)], photo.size, strict=True))
    scale = np.geomspace(SMALLEST, LARGEST, COUNT)[index] / max(right, bottom)
    return photo.crop((0, 0, right, bottom)).resize((round(right * scale), round(bottom * scale)))


def main():
    """Writes the photos and their annotation file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--annotations", required=True, type=pathlib.Path)
    parser.add_argument("--images", required=True, type=pathlib.Path)
    parser.add_argument("--output", required=True, type=pathlib.Path, help="folder of annotations.json and images/")
    args = parser.parse_args()
    source = json.loads(args.annotations.read_text())
    names = {category["id"]: category["name"] for category in source["categories"]}
    content = {"images": [], "annotations": []}
    content["categories"] = [{"id": i, "name": names.get(i, f"unused {i}")} for i in range(1, CLASSES + 1)]
    (args.output / "images").mkdir(parents=True, exist_ok=True)
    for index, entry in enumerate(source["images"][:COUNT]):
        photo = cut(Image.open(args.images / entry["file_name"]).convert("RGB"), index)
        image = {"id": index + 1, "file_name": f"{index + 1:02d}.png", "width": photo.width, "height": photo.height}
        photo.save(args.output / "images" / image["file_name"])
        width, height = photo.width // 2, photo.height // 2
        content["images"].append(image)
        corners = {"segmentation": [[0, 0, width, 0, width, height, 0, height]], "bbox": [0, 0, width, height]}
        content["annotations"].append(
            corners | {"id": index + 1, "image_id": index + 1, "category_id": 1, "iscrowd": 0, "area": width * height}
        )
    (args.output / "annotations.json").write_text(json.dumps(content))
    print(f"{len(content['images'])} photos: {args.output}")


if __name__ == "__main__":
    main()
