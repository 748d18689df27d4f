"""What an LVIS file has besides COCO's tables: images by their address, and who was asked about which category.

Its annotations are federated: an image was searched for some categories only. Those of its annotations were found;
`neg_category_ids` are known to be absent; of `not_exhaustive_category_ids` some objects are annotated, not all. Of all
other categories nothing is known there. `frequency` of a category is "r", "c" or "f": rare, common, frequent.
"""

from typing import Any

LISTS = ("neg_category_ids", "not_exhaustive_category_ids")
FREQUENCIES = ("r", "c", "f")
ALLOWED_URL = "an address that ends in folder/file"


def is_federated(coco: dict) -> bool:
    """Whether a COCO-format dict says which categories its images were searched for, as LVIS files do."""
    return any(name in image for image in coco["images"] if isinstance(image, dict) for name in LISTS)


def name_images(images: Any):
    """Gives images without `file_name` the last two parts of their `coco_url`, such as train2017/000000000009.jpg.

    Args:
      images: the table of a file, of which nothing is known yet; its rows are changed.

    Raises:
      ValueError: an address does not end in a folder and a file.

    Source: `detectron2/data/datasets/lvis.py`.
    """
    for index, image in enumerate(images if isinstance(images, list) else ()):
        if not isinstance(image, dict) or "file_name" in image or "coco_url" not in image:
            continue
        parts = image["coco_url"].split("/")[-2:] if isinstance(image["coco_url"], str) else []
        if len(parts) < 2 or not all(part.strip(".") for part in parts):
            came = f"images[{index}].coco_url is {image['coco_url']!r:.80}"
            raise ValueError(f"{came}; allowed, where there is no 'file_name': {ALLOWED_URL}")
        image["file_name"] = "/".join(parts)


def check_federated(coco: dict):
    """Checks that what federated scoring needs is there for all images and categories, or for none.

    Args:
      coco: a COCO-format dict whose tables were checked.

    Raises:
      ValueError: an image lacks a list of ids, or a category its frequency.
    """
    if not is_federated(coco):
        return
    for index, image in enumerate(coco["images"]):
        for name in LISTS:
            ids = image.get(name)
            if not isinstance(ids, list) or any(not isinstance(key, int) or isinstance(key, bool) for key in ids):
                came = f"is {ids!r:.60}" if name in image else "is missing"
                raise ValueError(f"images[{index}].{name} {came}; allowed, as in the other images of LVIS: ids")
    for index, category in enumerate(coco["categories"]):
        if category.get("frequency") not in FREQUENCIES:
            came = f"categories[{index}].frequency is {category.get('frequency')!r:.60}"
            raise ValueError(f"{came}; allowed, as images have {LISTS[0]} (LVIS): 'r', 'c', 'f'")
