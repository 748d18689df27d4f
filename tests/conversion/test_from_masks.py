"""Label images: grey of 8, 16 and 32 bits, palettes and colours; their names and their images."""

import struct

import numpy as np
import pytest
from converting import categories, mask, photo, read, rows, write
from PIL import Image

from mask_rcnn_tf.conversion import label_images

VALUES = np.zeros((15, 20), np.int64)
VALUES[2:7, 3:9] = 1
VALUES[4, 5] = 0  # a hole
VALUES[9:12, 1:4] = VALUES[9:12, 10:14] = 7  # two parts
VALUES[14, 19] = 3


def tiff(path, array):
    """An uncompressed TIFF of unsigned grey or of floats, tag by tag: Pillow writes none of 32 bits unsigned."""
    form = 3 if array.dtype.kind == "f" else 1
    tags = [(256, array.shape[1]), (257, array.shape[0]), (258, array.dtype.itemsize * 8), (259, 1), (262, 1), (273, 8)]
    tags += [(277, 1), (278, array.shape[0]), (279, array.nbytes), (339, form)]
    data = array.tobytes()
    head = b"II*\0" + struct.pack("<I", 8 + len(data))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return write(path, head + data + struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0))


def colours(values):
    rgb = np.zeros((*values.shape, 3), np.uint8)
    for value, colour in {1: (255, 0, 0), 3: (0, 0, 3), 7: (10, 200, 1)}.items():
        rgb[values == value] = colour
    return rgb


def save_png(values, dtype=np.uint8):
    return lambda path: Image.fromarray(values.astype(dtype)).save(path)


KINDS = {
    "8.png": save_png(VALUES),
    "16.png": save_png(VALUES * 1000, np.uint16),
    "8.tif": save_png(VALUES),
    "16.tif": lambda path: tiff(path, (VALUES * 9000).astype(np.uint16)),
    "32.tif": lambda path: tiff(path, (VALUES * 100_000).astype(np.uint32)),
    "float.tif": lambda path: tiff(path, VALUES.astype(np.float32)),
    "colour.png": lambda path: Image.fromarray(colours(VALUES)).save(path),
    "palette.png": lambda path: Image.fromarray(colours(VALUES)).quantize(4).save(path),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_value_is_an_object(tmp_path, kind):
    photo(tmp_path / "a.jpg")
    KINDS[kind](tmp_path / f"a_cp_masks.{kind.split('.')[1]}")
    coco, lost, _ = read("masks", tmp_path, category="cell")
    assert not lost and categories(coco) == {1: "cell"} and coco["images"][0]["file_name"] == "a.jpg"
    found = {tuple(row["bbox"]): mask(coco, row) for row in coco["annotations"]}
    expected = {(3, 2, 6, 5): 1, (1, 9, 13, 3): 7, (19, 14, 1, 1): 3}
    assert set(found) == set(expected)
    for box, value in expected.items():
        np.testing.assert_array_equal(found[box], VALUES == value)


@pytest.mark.parametrize(
    "name", ["a_masks.png", "a_masks.tif", "a_cp_masks.png", "a_mask.png", "a_label.png", "a_labels.tif", "masks/a.png"]
)
def test_names_of_masks(tmp_path, name):
    photo(tmp_path / ("images/a.png" if "/" in name else "a.png"))
    photo(tmp_path / "b.png")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    Image.fromarray(VALUES.astype(np.uint8)).save(tmp_path / name)
    coco, lost, _ = read("masks", tmp_path)
    assert len(coco["images"]) == 1 and len(coco["annotations"]) == 3
    assert lost == {"image without a label image, taken as not labelled": ["b.png"]}


def test_folders_apart_and_images_of_one_name_in_sub_folders(tmp_path):
    for name in ("one", "two"):
        photo(tmp_path / "pictures" / name / "a.jpg")
        (tmp_path / "labels" / name).mkdir(parents=True)
    Image.fromarray(VALUES.astype(np.uint8)).save(tmp_path / "labels/one/a.png")
    Image.fromarray((VALUES == 3).astype(np.uint8)).save(tmp_path / "labels/two/a.png")
    coco, lost, _ = read("masks", tmp_path / "labels", images=tmp_path / "pictures")
    assert len(rows(coco, "one/a.jpg")) == 3 and len(rows(coco, "two/a.jpg")) == 1 and not lost


@pytest.mark.parametrize("shape", [(15, 20), (20, 15)])
def test_a_mask_of_a_turned_photo_is_in_the_frame_of_its_size(tmp_path, shape):
    photo(tmp_path / "a.jpg", 20, 15, orientation=6)
    Image.fromarray(np.ones(shape, np.uint8)).save(tmp_path / "a_mask.png")
    coco, _, _ = read("masks", tmp_path)
    assert (coco["images"][0]["height"], coco["images"][0]["width"]) == shape


def test_an_empty_mask_is_an_image_without_objects(tmp_path):
    photo(tmp_path / "a.png")
    Image.fromarray(np.zeros((15, 20), np.uint8)).save(tmp_path / "a_masks.png")
    photo(tmp_path / "b.png")
    Image.fromarray(VALUES.astype(np.uint8)).save(tmp_path / "b_masks.png")
    coco, lost, _ = read("masks", tmp_path)
    assert len(coco["images"]) == 2 and rows(coco, "a.png") == [] and not lost


def test_what_is_left_out_is_named(tmp_path):
    for name in ("good", "size", "float", "negative", "broken", "bomb", "both"):
        photo(tmp_path / f"{name}.png")
    photo(tmp_path / "both.jpg")
    whole = VALUES.astype(np.uint8)
    Image.fromarray(whole).save(tmp_path / "good_masks.png")
    Image.fromarray(whole).save(tmp_path / "good_cp_masks.png")
    Image.fromarray(whole).save(tmp_path / "both_masks.png")
    Image.fromarray(whole).save(tmp_path / "alone_masks.png")
    Image.fromarray(whole[:9]).save(tmp_path / "size_masks.png")
    Image.fromarray(np.full((15, 20), 0.5, np.float32)).save(tmp_path / "float_masks.tif")
    Image.fromarray(np.full((15, 20), -1, np.int32)).save(tmp_path / "negative_masks.tif")
    write(tmp_path / "broken_masks.png", (tmp_path / "good_masks.png").read_bytes()[:60])
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb_masks.png")
    coco, lost, _ = read("masks", tmp_path)
    assert [image["file_name"] for image in coco["images"]] == ["good.png"] and len(coco["annotations"]) == 3
    assert len(lost["label image that is not of one image"]) == 2 and len(lost["label image of other values"]) == 2
    assert lost["image that is annotated twice"] == ["good_masks.png: good.png"]
    assert lost["image size is unlike the annotations'"][-1].startswith("size_masks.png: 20 x 15 stored, 20 x 9 in")
    assert any("broken_masks.png" in line for line in lost["label image that cannot be read"])
    assert any("bomb_masks.png" in line for lines in lost.values() for line in lines)


def test_a_stack_is_refused(tmp_path):
    photo(tmp_path / "a.png")
    page = Image.fromarray(VALUES.astype(np.uint8))
    page.save(tmp_path / "a_masks.tif", save_all=True, append_images=[page])
    with pytest.raises(
        ValueError, match="1 x label image of several pages, as stacks of three dimensions have; a_masks"
    ):
        read("masks", tmp_path)


def test_masks_against_comparing_every_pixel():
    random = np.random.default_rng(0)
    values = random.integers(0, 9, (23, 31)) * random.integers(0, 2, (23, 31))
    found = label_images.masks(values)
    assert [value for value, _, _ in found] == sorted(set(values.ravel()) - {0})
    for value, crop, (y, x) in found:
        canvas = np.zeros(values.shape, bool)
        canvas[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
        np.testing.assert_array_equal(canvas, values == value)
    assert label_images.masks(np.zeros((4, 5), int)) == []
