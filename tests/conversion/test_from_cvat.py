"""CVAT's XML for images 1.1, made here as its page on the format has it."""

import numpy as np
import pytest
from converting import categories, drawn, iou, mask, photo, read, rows, write

HEAD = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>4</id><name>segmentation</name><size>2</size><mode>annotation</mode><labels>
    <label><name>dog</name><color>#c06060</color><type>any</type><attributes></attributes></label>
    <label><name>cat</name><attributes/></label>
    <label><name>fish</name><type>skeleton</type><svg>SVG</svg></label>
    <label><name>nose</name><type>points</type><parent>fish</parent></label>
    <label><name>tail</name><type>points</type><parent>fish</parent></label>
  </labels></task><dumped>2026-01-01</dumped></meta>
"""
SVG = """<line x1="6.1" data-type="edge" data-node-from="7" stroke-width="0.5" data-node-to="2"></line>
<line data-node-from="7" data-node-to="9"></line><circle r="1.5" data-node-id="2" data-label-name="nose"></circle>
<circle r="1.5" data-node-id="7" data-label-name="tail"></circle>"""
HEAD = HEAD.replace("SVG", SVG.replace("<", "&lt;").replace(">", "&gt;"))
SQUARE = 'points="2.00,3.00;10.00,3.00;10.00,9.00;2.00,9.00"'


def export(folder, *shapes, name="a.png", size='width="20" height="15"', more=""):
    image = f'<image id="0" name="{name}" subset="Train" task_id="4" {size}>{"".join(shapes)}</image>'
    return write(folder / "annotations.xml", f"{HEAD}{image}{more}</annotations>")


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "images/a.png")
    return tmp_path


def test_polygons_boxes_and_the_file_s_own_categories(folder):
    polygon = (
        f'<polygon label="dog" source="manual" occluded="0" {SQUARE} z_order="0"><attribute name="x">1</attribute>'
    )
    box = '<box label="cat" source="manual" occluded="1" xtl="4" ytl="1" xbr="12.5" ybr="8" z_order="0"></box>'
    empty = '<image id="1" name="b.png" width="20" height="15"></image>'
    photo(folder / "images/b.png")
    path = export(folder, polygon + "</polygon>", box, more=empty)
    coco, lost, _ = read("cvat", path)
    assert categories(coco) == {1: "dog", 2: "cat", 3: "fish"} and not lost and len(coco["images"]) == 2
    first, second = rows(coco, "a.png")
    assert first["bbox"] == [2, 3, 8, 6] and first["area"] == 48 and first["category_id"] == 1
    assert second["bbox"] == [4, 1, 8.5, 7] and "segmentation" not in second
    assert read("cvat", folder)[0] == coco
    assert [image["file_name"] for image in read("cvat", folder, split="Train")[0]["images"]] == ["a.png"]
    with pytest.raises(ValueError, match="^split is 'train'; allowed: Train"):
        read("cvat", folder, split="train")


def test_masks_are_runs_along_the_rows_of_a_window(folder):
    """Window of 3 x 2 at (5, 7): 0 0 1 / 1 1 0; one that reaches out of the image; one with a hole."""
    ring = '<mask label="cat" rle="0, 4, 1, 4" left="0" top="0" width="3" height="3" z_order="0"/>'
    small = (
        '<mask label="dog" source="semi-auto" occluded="0" rle="2, 3, 1" left="5" top="7" width="3" height="2"></mask>'
    )
    edge = '<mask label="cat" rle="0, 12" left="18" top="13" width="4" height="3" z_order="0"/>'
    coco, lost, _ = read("cvat", export(folder, small, ring, edge))
    expected = np.zeros((15, 20), bool)
    expected[7, 7] = expected[8, 5] = expected[8, 6] = True
    np.testing.assert_array_equal(mask(coco, coco["annotations"][0]), expected)
    assert coco["annotations"][1]["area"] == 8 and not mask(coco, coco["annotations"][1])[1, 1]
    assert coco["annotations"][2]["bbox"] == [18, 13, 2, 2] and not lost


def test_turned_boxes_and_ellipses(tmp_path):
    photo(tmp_path / "a.png", 80, 60)
    box = '<box label="dog" xtl="20" ytl="20" xbr="60" ybr="30" rotation="30.0" occluded="0"/>'
    oval = '<ellipse label="cat" cx="40" cy="30" rx="20" ry="8" rotation="45" occluded="0"/>'
    coco, _, _ = read("cvat", export(tmp_path, box, oval, size='width="80" height="60"'))
    ys, xs = np.mgrid[:60, :80] + 0.5
    angle = np.radians(30)  # clockwise on the screen: the right end goes down
    along = (xs - 40) * np.cos(angle) + (ys - 25) * np.sin(angle)
    across = (ys - 25) * np.cos(angle) - (xs - 40) * np.sin(angle)
    assert iou(mask(coco, coco["annotations"][0]), (abs(along) < 20) & (abs(across) < 5)) > 0.95
    along, across = (xs - 40 + ys - 30) / 2**0.5, (ys - 30 - xs + 40) / 2**0.5
    assert iou(mask(coco, coco["annotations"][1]), np.hypot(along / 20, across / 8) < 1) > 0.96


def test_shapes_of_one_label_and_group_are_one_object(folder):
    other = 'points="12,3;16,3;16,9;12,9"'
    shapes = [f'<polygon label="dog" group_id="3" {SQUARE}/>', f'<polygon label="dog" group_id="3" {other}/>']
    shapes += [f'<polygon label="cat" group_id="3" {SQUARE}/>', f'<polygon label="dog" group_id="0" {other}/>']
    shapes += [f'<polygon label="dog" group_id="0" {other}/>']
    shapes += ['<mask label="cat" rle="0, 4" left="0" top="12" width="2" height="2" group_id="3"/>']
    coco, _, _ = read("cvat", export(folder, *shapes))
    assert [row["area"] for row in coco["annotations"]] == [72, 52, 24, 24]
    assert isinstance(coco["annotations"][1]["segmentation"], dict)


def test_skeletons(folder):
    points = '<points label="{}" outside="{}" occluded="{}" points="{}"/>'
    tail, nose = points.format("tail", 0, 1, "12.5,9.5"), points.format("nose", 0, 0, "4.5,3.5")
    shapes = [f'<skeleton label="fish" z_order="0">{tail}{nose}</skeleton>']
    shapes += [f'<skeleton label="fish">{tail}{points.format("nose", 1, 0, "0,0")}{nose}</skeleton>']
    shapes += [f'<skeleton label="fish">{points.format("nose", 1, 0, "0,0")}</skeleton>']
    shapes += [f'<polygon label="dog" {SQUARE}/>']
    coco, lost, _ = read("cvat", export(folder, *shapes))
    (fish,) = [row for row in coco["categories"] if row["name"] == "fish"]
    assert fish["skeleton"] == [[2, 1]]  # the other line has no node at its end
    assert fish["keypoints"] == ["nose", "tail"] and lost["skeleton without a point in the image"]
    first = next(row for row in coco["annotations"] if row["category_id"] == fish["id"])
    assert (
        first["keypoints"] == [4, 3, 2, 12, 9, 1] and first["bbox"] == [4.5, 3.5, 8, 6] and first["num_keypoints"] == 2
    )


def test_skeletons_of_a_file_without_its_labels(folder):
    points = '<points label="{}" outside="0" occluded="0" points="{}"/>'
    first = f'<skeleton label="fish">{points.format("nose", "4.5,3.5")}{points.format("fin", "6.5,5.5")}</skeleton>'
    second = f'<skeleton label="fish">{points.format("tail", "4.5,3.5")}{points.format("nose", "6.5,5.5")}</skeleton>'
    path = export(folder, first, second)
    write(path, path.read_text().replace("<label>", "<x>").replace("</label>", "</x>"))
    coco, lost, notes = read("cvat", path)
    assert coco["categories"][0]["keypoints"] == ["nose", "fin", "tail"] and not lost and not notes
    assert [row["keypoints"] for row in coco["annotations"]] == [
        [4, 3, 2, 6, 5, 2, 0, 0, 0], [6, 5, 2, 0, 0, 0, 4, 3, 2],
    ]  # fmt: skip


@pytest.mark.parametrize("size", [(15, 20), (20, 15)])
def test_a_turned_photo_is_in_the_frame_that_the_file_states(folder, size):
    photo(folder / "images/t.jpg", 20, 15, orientation=8)
    path = export(
        folder, f'<polygon label="dog" {SQUARE}/>', name="t.jpg", size=f'width="{size[1]}" height="{size[0]}"'
    )
    coco, _, _ = read("cvat", path)
    assert (coco["images"][0]["height"], coco["images"][0]["width"]) == size


def test_names_of_other_folders_and_images_elsewhere(tmp_path):
    photo(tmp_path / "photos/Läuse/ä.jpg")
    photo(tmp_path / "photos/other/ä.jpg")
    path = export(tmp_path, f'<polygon label="dog" {SQUARE}/>', name="Läuse/ä.jpg")
    assert read("cvat", path, images=tmp_path / "photos")[0]["images"][0]["file_name"] == "Läuse/ä.jpg"
    path = export(tmp_path, f'<polygon label="dog" {SQUARE}/>', name="ä.jpg")
    with pytest.raises(ValueError, match="x image name that fits several files; image 'ä.jpg': 'ä.jpg': Läuse/ä.jpg"):
        read("cvat", path, images=tmp_path / "photos")


def test_what_is_left_out_is_named(folder):
    bad = [
        '<polyline label="dog" points="1,1;2,2;3,1"/>',
        '<points label="dog" points="1,1"/>',
        '<cuboid label="dog"/>',
        '<tag label="dog"/>',
        '<polygon label="dog" points="1,1;2,2"/>',
        '<polygon label="dog"/>',
        '<polygon label="dog" points="1,1;2;3,3"/>',
        '<polygon label="dog" points="1,1;x,2;3,3"/>',
        '<polygon label="dog" points="nan,1;2,2;3,3"/>',
        f"<polygon {SQUARE}/>",
        '<box label="dog" xtl="1" ytl="1" xbr="5"/>',
        '<box label="dog" xtl="1" ytl="1" xbr="1" ybr="9"/>',
        '<mask label="dog" rle="1,2" left="0" top="0" width="2" height="2"/>',
        '<mask label="dog" rle="-1,5" left="0" top="0" width="2" height="2"/>',
        '<mask label="dog" rle="0,1e18" left="0" top="0" width="1000000000" height="1000000000"/>',
        '<mask label="dog" rle="nan" left="0" top="0" width="2" height="2"/>',
        '<mask label="dog" rle="4" left="0" top="0" width="2" height="2"/>',
        '<mask label="dog" rle="0,4" left="50" top="0" width="2" height="2"/>',
        '<ellipse label="dog" cx="3" cy="3" rx="-1" ry="2"/>',
        '<skeleton label="fish"><points label="nose" points="1"/></skeleton>',
        '<skeleton label="fish"><points label="nose" points="1,inf"/></skeleton>',
        '<skeleton label="fish"><points label="nose" points=""/></skeleton>',
        '<mask label="dog" rle="0,inf" left="0" top="0" width="2" height="2"/>',
    ]
    more = '<image id="1" name="no.png" width="20" height="15"/><image id="2" width="x" height="15" name="a.png"/>'
    coco, lost, _ = read("cvat", export(folder, f'<polygon label="dog" {SQUARE}/>', *bad, more=more))
    assert len(coco["annotations"]) == 1 and sum(map(len, lost.values())) == len(bad) + 2
    assert lost["shape of type 'polyline', which has no area"] == ["a.png: polyline 2 ('dog')"]
    assert lost["tag of a whole image"] == ["a.png: tag 5 ('dog')"]
    assert lost["polygon of fewer than 3 points"][0] == "a.png: polygon 6 ('dog'): it has 2"
    assert lost["mask lies far outside the image"] == ["a.png: mask 16 ('dog'): a coordinate is 1e+09"]


ENTITIES = '<!DOCTYPE b [<!ENTITY a "x"><!ENTITY b "&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not XML"),
        ("{}", "is not XML"),
        ("<annotations/>", "with the element 'annotations' without images and tracks; allowed: an export as"),
        ("<annotation><image/></annotation>", "with the element 'annotation'"),
        (ENTITIES + "<annotations><image name='&b;'/></annotations>", "which declares a document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotations/>', "which declares a document type"),
        ("<a>" * 100_000, "which nests deeper than 32 elements"),
        ('<?xml version="1.0" encoding="no-such"?><annotations/>', "is not XML"),
        (b"\xff\xfe" + (ENTITIES + "<annotations/>").encode("utf-16-le"), "which declares a document type"),
    ],
)
def test_other_files_are_refused(folder, text, message):
    write(folder / "annotations.xml", text)
    with pytest.raises(ValueError, match=f"^input is '.*annotations.xml'.*{message}"):
        read("cvat", folder)


def test_no_file_or_two(tmp_path):
    with pytest.raises(ValueError, match="with no XML file; allowed: one"):
        read("cvat", tmp_path)
    write(tmp_path / "a.xml", ""), write(tmp_path / "b.xml", "")
    with pytest.raises(ValueError, match="with 2 XML files; allowed: one, or the path of a file"):
        read("cvat", tmp_path)


def test_polygons_against_pillow(tmp_path):
    photo(tmp_path / "a.png", 80, 60)
    odd = [5.5, 4.25, 60.1, 10.5, 40.7, 50.9, 30.2, 20.4]
    text = ";".join(f"{x},{y}" for x, y in zip(odd[::2], odd[1::2], strict=True))
    coco, _, _ = read(
        "cvat", export(tmp_path, f'<polygon label="dog" points="{text}"/>', size='width="80" height="60"')
    )
    assert iou(mask(coco, coco["annotations"][0]), drawn((60, 80), odd)) > 0.96
