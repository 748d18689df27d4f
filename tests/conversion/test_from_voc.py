"""Pascal VOC's folders, made here as its development kit and the tools that write it have them."""

import numpy as np
import pytest
from converting import categories, mask, photo, read, rows, write
from PIL import Image

# Of the development kit's VOClabelcolormap, the first eight and the last, by hand.
COLOURS = [
    (0, 0, 0),
    (128, 0, 0),
    (0, 128, 0),
    (128, 128, 0),
    (0, 0, 128),
    (128, 0, 128),
    (0, 128, 128),
    (128, 128, 128),
]
VOID = (224, 224, 192)
VALUES = np.zeros((15, 20), np.uint8)
VALUES[3:9, 2:10] = 1
VALUES[4, 4] = 255
VALUES[10:14, 12:18] = 2


def xml(*objects, filename="a.jpg", size=(20, 15), database="Unknown", more=""):
    head = f"<folder>x</folder><filename>{filename}</filename><source><database>{database}</database></source>"
    head += f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size><segmented>1</segmented>"
    return f"<annotation>{head}{''.join(objects)}{more}</annotation>"


def item(name, box, more=""):
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><difficult>0</difficult><bndbox>{corners}</bndbox>{more}</object>"


def save(path, values, colours=None, kind="P"):
    """A label image with VOC's palette, or as colours, or grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.zeros((256, 3), np.uint8)
    table[: len(colours or COLOURS)], table[255] = colours or COLOURS, VOID
    image = Image.fromarray(table[values] if kind == "RGB" else values)
    if kind == "P":
        image.putpalette(table.tobytes())
    image.save(path)


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "JPEGImages/a.jpg")
    write(tmp_path / "Annotations/a.xml", xml(item("dog", (2, 3, 10, 9)), item("cat", (12, 10, 18, 14))))
    return tmp_path


def test_boxes(folder):
    coco, lost, _ = read("voc", folder)
    assert categories(coco) == {1: "cat", 2: "dog"} and not lost
    assert [row["bbox"] for row in coco["annotations"]] == [[2, 3, 8, 6], [12, 10, 6, 4]]
    assert coco["images"] == [{"id": 1, "file_name": "JPEGImages/a.jpg", "height": 15, "width": 20}]


def test_the_first_pixel_of_voc_s_own_files_is_1(folder):
    own = xml(item("dog", (1, 1, 20, 15)), item("dog", (45.7, 1, 46, 2)), database="The VOC2012 Database")
    write(folder / "Annotations/a.xml", own)
    coco, lost, _ = read("voc", folder)
    assert coco["annotations"][0]["bbox"] == [0, 0, 20, 15] and len(lost["box lies outside the image"]) == 1


@pytest.mark.parametrize("kind", ["P", "RGB", "L"])
def test_masks_are_of_the_objects_in_their_order(folder, kind):
    save(folder / "SegmentationObject/a.png", VALUES, kind=kind)
    coco, lost, _ = read("voc", folder)
    dog, cat = coco["annotations"]
    np.testing.assert_array_equal(mask(coco, dog), VALUES == 1)
    np.testing.assert_array_equal(mask(coco, cat), VALUES == 2)
    assert not lost and dog["area"] == 47 and categories(coco)[dog["category_id"]] == "dog"


def test_masks_in_another_order_are_matched_by_their_boxes(folder):
    save(folder / "SegmentationObject/a.png", np.choose(VALUES % 255, [VALUES, 2, 1]).astype(np.uint8))
    coco, lost, _ = read("voc", folder)
    assert [row["area"] for row in coco["annotations"]] == [47, 24] and not lost


LABEL_MAP = "# label:color_rgb:parts:actions\nbackground:0,0,0::\ndog:10,20,30::\ncat:0,0,200::head:\nowl:1,1,1::\n"
MAPPED = [(0, 0, 0), (10, 20, 30), (0, 0, 200)]


@pytest.mark.parametrize(
    "names, expected, colours, kind",
    [
        ({"labelmap.txt": LABEL_MAP}, ["dog", "cat", "owl"], MAPPED, "RGB"),
        ({"labelmap.txt": LABEL_MAP}, ["dog", "cat", "owl"], MAPPED, "P"),
        ({"class_names.txt": "__ignore__\n_background_\ndog\ncat\n"}, ["dog", "cat"], None, "P"),
        ({"class_names.txt": "_background_\ndog\ncat\n"}, ["dog", "cat"], None, "L"),
        ({}, ["aeroplane", "bicycle"], None, "P"),
    ],
)
def test_masks_without_xml_have_their_class_of_the_other_picture(tmp_path, names, expected, colours, kind):
    photo(tmp_path / "JPEGImages/a.jpg")
    for name, text in names.items():
        write(tmp_path / name, text)
    save(tmp_path / "SegmentationObject/a.png", VALUES)
    save(tmp_path / "SegmentationClass/a.png", VALUES, colours, kind)
    coco, lost, _ = read("voc", tmp_path)
    assert [row["name"] for row in coco["categories"]] == expected and not lost
    assert [row["area"] for row in coco["annotations"]] == [47, 24]
    assert [row["category_id"] for row in coco["annotations"]] == [1, 2]


def test_splits(folder):
    photo(folder / "JPEGImages/b.jpg")
    write(folder / "Annotations/b.xml", xml(item("dog", (2, 3, 10, 9)), filename="b.jpg"))
    write(folder / "ImageSets/Main/train.txt", "a\nb\n")
    write(folder / "ImageSets/Main/val.txt", "b  -1\n")
    write(folder / "ImageSets/Segmentation/train.txt", "a\n")
    for split, expected in (("train", "a"), ("val", "b")):
        coco, lost, _ = read("voc", folder, split=split)
        assert [image["file_name"] for image in coco["images"]] == [f"JPEGImages/{expected}.jpg"] and not lost
    with pytest.raises(ValueError, match="^split is 'test'; allowed: train, val"):
        read("voc", folder, split="test")


def test_files_beside_their_images_in_folders_of_one_name(tmp_path):
    for place in ("train", "val"):
        photo(tmp_path / place / "ü.png")
        write(tmp_path / place / "ü.xml", xml(item("dog", (2, 3, 10, 9)), filename="C:\\x\\ü.png"))
    write(tmp_path / "test/ü.xml", xml(filename="ü.png"))
    coco, lost, _ = read("voc", tmp_path)
    assert [image["file_name"] for image in coco["images"]] == ["train/ü.png", "val/ü.png"]
    assert [line.split(":")[0] for line in lost["image that is not there"]] == ["test/ü.xml"]


@pytest.mark.parametrize("size", [(20, 15), (15, 20), (0, 0)])
def test_a_turned_photo_is_in_the_frame_that_the_file_states(tmp_path, size):
    photo(tmp_path / "a.jpg", 20, 15, orientation=6)
    write(tmp_path / "a.xml", xml(item("dog", (2, 3, 10, 9)), size=size))
    image = read("voc", tmp_path)[0]["images"][0]
    assert (image["width"], image["height"]) == (size if any(size) else (15, 20))


def test_what_is_left_out_is_named(folder):
    bad = [
        item("dog", (1, 2, 3, "x")),
        item("dog", (1, 2, 3, "nan")),
        item("dog", (5, 5, 5, 9)),
        item("", (1, 2, 3, 4)),
    ]
    bad += ["<object><name>dog</name></object>", item("dog", (100, 100, 120, 120))]
    square = "<polygon><x1>1</x1><y1>1</y1></polygon>"
    write(folder / "Annotations/a.xml", xml(*bad, item("cat", (12, 10, 18, 14), square)))
    for name, text in {"b": "<a", "c": "<root/>", "d": xml(filename="no.jpg"), "e": xml(size=(7, 7))}.items():
        write(folder / f"Annotations/{name}.xml", text)
    photo(folder / "JPEGImages/f.jpg")
    photo(folder / "JPEGImages/e.jpg")
    save(folder / "SegmentationObject/a.png", np.where(VALUES == 1, 3, np.where(VALUES == 2, 7, 0)).astype(np.uint8))
    coco, lost, notes = read("voc", folder)
    assert [row["area"] for row in rows(coco, "JPEGImages/a.jpg")] == [24]
    assert lost["mask that fits no object of the XML file"] == [
        "SegmentationObject/a: value 3: and there is no SegmentationClass"
    ]
    assert len(lost["object whose box is not four numbers"]) == 2 and len(lost["box has no area"]) == 1
    assert lost["image without an XML file or a mask, taken as not labelled"] == [
        "JPEGImages/e.jpg",
        "JPEGImages/f.jpg",
    ]
    assert sum(map(len, lost.values())) == len(bad) + 4 + 1 + 2 and any("polygon" in note for note in notes)


def test_a_damaged_label_map_is_named(folder):
    write(folder / "labelmap.txt", "dog:1,2:\n")
    with pytest.raises(ValueError, match="has the line 'dog:1,2:'; allowed: name:red,green,blue"):
        read("voc", folder)
