"""CVAT's XML for video 1.1, made here as its `dump_as_cvat_interpolation` writes it, beside extracted frames."""

import numpy as np
import pytest
from converting import categories, mask, photo, read, rows, write

LABELS = """<labels><label><name>dog</name><type>any</type></label><label><name>cat</name></label>
<label><name>fish</name><type>skeleton</type><svg>&lt;line data-node-from="1" data-node-to="2"&gt;&lt;/line&gt;
&lt;circle data-node-id="1" data-label-name="nose"&gt;&lt;/circle&gt;
&lt;circle data-node-id="2" data-label-name="tail"&gt;&lt;/circle&gt;</svg></label>
<label><name>nose</name><parent>fish</parent></label>
<label><name>tail</name><parent>fish</parent></label></labels>"""
SIZE = "<original_size><width>20</width><height>15</height></original_size>"
SQUARE = 'points="2.00,3.00;10.00,3.00;10.00,9.00;2.00,9.00"'
BOX = 'xtl="4.00" ytl="1.00" xbr="12.50" ybr="8.00"'


def task(size=4, start=0, step=1, mode="interpolation", name="task", more=SIZE):
    stop = start + (size - 1) * step
    filtered = f"<frame_filter>step={step}</frame_filter>" if step > 1 else "<frame_filter></frame_filter>"
    numbers = f"<size>{size}</size><mode>{mode}</mode><start_frame>{start}</start_frame><stop_frame>{stop}</stop_frame>"
    return f"<{name}><id>7</id>{numbers}{filtered}{LABELS}{more}</{name}>"


def shape(tag, frame, what, keyframe=1, outside=0, occluded=0):
    seen = f'keyframe="{keyframe}" outside="{outside}" occluded="{occluded}"'
    return f'<{tag} frame="{frame}" {seen} {what} z_order="0"></{tag}>'


def track(*shapes, label="dog", number=0, more=""):
    return f'<track id="{number}" label="{label}" source="manual" {more}>{"".join(shapes)}</track>'


def export(folder, *tracks, meta=None):
    head = f"<annotations><version>1.1</version><meta>{task() if meta is None else meta}<dumped>now</dumped></meta>"
    return write(folder / "annotations.xml", f"{head}{''.join(tracks)}</annotations>")


def frames(folder, *numbers, name="images/frame_{:06}.PNG"):
    for number in numbers:
        photo(folder / name.format(number))


def names(coco):
    return [image["file_name"] for image in coco["images"]]


def test_boxes_polygons_and_masks_of_every_frame_that_is_listed(tmp_path):
    frames(tmp_path, 0, 1, 2, 3)
    boxes = [shape("box", 0, BOX), shape("box", 1, 'xtl="5" ytl="1" xbr="13.5" ybr="8"', keyframe=0)]
    boxes += [shape("box", 2, BOX, outside=1)]
    polygons = [shape("polygon", frame, SQUARE, keyframe=int(frame == 1)) for frame in (1, 2, 3)]
    runs = 'rle="0, 4, 1, 4" left="0" top="0" width="3" height="3"'
    single = [shape("mask", 2, runs), shape("mask", 3, runs, outside=1)]
    path = export(tmp_path, track(*boxes, label="cat"), track(*polygons, number=1), track(*single, number=2))
    coco, lost, notes = read("cvat", path)
    assert names(coco) == [f"frame_{number:06}.PNG" for number in range(4)] and not lost
    assert categories(coco) == {1: "dog", 2: "cat", 3: "fish"}
    per_frame = [[(row["category_id"], row["bbox"]) for row in rows(coco, name)] for name in names(coco)]
    dog = (1, [2, 3, 8, 6])
    assert per_frame == [[(2, [4, 1, 8.5, 7])], [(2, [5, 1, 8.5, 7]), dog], [dog, (1, [0, 0, 3, 3])], [dog]]
    ring = rows(coco, names(coco)[2])[1]
    np.testing.assert_array_equal(mask(coco, ring)[:3, :3], [[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    assert dict(notes) == {"objects lie between keyframes, where CVAT interpolated them": 3}
    assert read("cvat", tmp_path)[0] == coco


def test_skeletons(tmp_path):
    frames(tmp_path, 0, 1, 2)

    def skeleton(frame, *points):
        parts = [
            f'<points label="{label}" keyframe="1" outside="{outside}" occluded="{occluded}" points="{place}"/>'
            for label, outside, occluded, place in points
        ]
        return f'<skeleton frame="{frame}" keyframe="1" z_order="0">{"".join(parts)}</skeleton>'

    nose, gone = ("nose", 0, 0, "4.5,3.5"), ("nose", 1, 0, "4.5,3.5")
    shapes = [skeleton(0, ("tail", 0, 1, "12.5,9.5"), nose), skeleton(1, gone, ("tail", 0, 0, "12.5,9.5"))]
    shapes += [skeleton(2, gone, ("tail", 1, 0, "12.5,9.5"))]
    coco, lost, _ = read("cvat", export(tmp_path, track(*shapes, label="fish"), meta=task(3)))
    fish = coco["categories"][2]
    assert fish["keypoints"] == ["nose", "tail"] and fish["skeleton"] == [[1, 2]]
    (first,) = coco["annotations"]
    assert first["keypoints"] == [4, 3, 2, 12, 9, 1] and first["bbox"] == [4.5, 3.5, 8, 6] and first["image_id"] == 1
    ((kind, (line,)),) = lost.items()  # one point alone has no box; one of which no point is seen is not there
    assert kind == "box has no area" and line.startswith("frame_000001.PNG: track '0': skeleton 2 ('fish')")
    assert len(coco["images"]) == 3


def test_frames_without_an_image_are_counted_and_images_without_shapes_stay(tmp_path):
    frames(tmp_path, 1, 2, 9)
    first = track(shape("box", 0, BOX), shape("box", 1, BOX, outside=1), number=1)
    moving = track(*(shape("box", frame, BOX) for frame in range(4)), shape("box", 4, BOX, outside=1))
    coco, lost, _ = read("cvat", export(tmp_path, first, moving, meta=task(8)))
    assert names(coco) == ["frame_000001.PNG", "frame_000002.PNG"]  # 9 is no frame of the task
    assert lost == {"frame without an image": ["frame 0: 2 objects", "frame 3: 1 objects"]}
    frames(tmp_path, 6)
    assert names(read("cvat", tmp_path)[0])[2:] == ["frame_000006.PNG"]
    coco, _, _ = read("cvat", export(tmp_path, first, moving, meta=""))
    assert names(coco) == ["frame_000001.PNG", "frame_000002.PNG"]  # nothing says that 6 is of the video


def test_frames_that_a_track_passes_over_are_left_out(tmp_path):
    """Of a file that has keyframes alone, or a frame that was deleted: the dog is there, nobody says where."""
    frames(tmp_path, 0, 1, 2, 3, 4, 5)
    keys = track(shape("box", 0, BOX), shape("box", 3, BOX), shape("box", 4, BOX, outside=1), shape("box", 5, BOX))
    other = track(shape("polygon", 2, SQUARE), number=1)
    coco, lost, _ = read("cvat", export(tmp_path, keys, other, meta=task(6)))
    assert names(coco) == [f"frame_{number:06}.PNG" for number in (0, 3, 4, 5)]
    ((kind, lines),) = lost.items()
    assert kind.startswith("frame inside a track that does not list it")
    assert lines == ["frame 1: frame_000001.PNG; 0 objects", "frame 2: frame_000002.PNG; 1 objects"]


def test_a_track_without_an_end_goes_on_to_the_end_of_its_task(tmp_path):
    """As CVAT takes it; a shape of one frame is no such track, though its end is left out near that of the video."""
    frames(tmp_path, 0, 1, 2, 3, 4)
    going, single = track(shape("box", 0, BOX), shape("box", 1, BOX)), track(shape("box", 1, BOX), number=1)
    coco, lost, _ = read("cvat", export(tmp_path, going, single, meta=task(4)))
    assert names(coco) == [f"frame_{number:06}.PNG" for number in (0, 1)]
    assert [line[:7] for lines in lost.values() for line in lines] == ["frame 2", "frame 3"]
    coco, lost, _ = read("cvat", export(tmp_path, single, meta=task(4)))
    assert len(names(coco)) == 4 and len(coco["annotations"]) == 1 and not lost


def test_steps_starts_and_names_of_one_s_own(tmp_path):
    frames(tmp_path, *range(8, 20), name="shots/video-2_{}.jpg")
    moving = track(*(shape("box", frame, BOX) for frame in (10, 15)))
    path = export(tmp_path, moving, meta=task(2, start=10, step=5, name="job", more="") + SIZE)
    coco, lost, _ = read("cvat", path, images=tmp_path / "shots")
    assert names(coco) == ["video-2_10.jpg", "video-2_15.jpg"] and not lost
    photo(tmp_path / "shots/clip_15.jpg")
    coco, lost, _ = read("cvat", path, images=tmp_path / "shots")
    assert names(coco) == ["video-2_10.jpg"]
    several = "clip_15.jpg and video-2_15.jpg"
    assert lost == {"frame whose number several images have": [f"frame 15: {several}; 1 objects"]}
    photo(tmp_path / "shots/frame_000015.png")  # CVAT's own name comes first
    assert names(read("cvat", path, images=tmp_path / "shots")[0]) == ["video-2_10.jpg", "frame_000015.png"]


def test_frames_that_count_from_1_are_refused(tmp_path):
    frames(tmp_path, 1, 2, 3, 4)
    path = export(tmp_path, track(shape("box", 1, BOX)))
    with pytest.raises(ValueError, match=r"numbers 1 to 4, and the frames are 0 to 3; allowed: .* -start_number 0\)"):
        read("cvat", path)


def test_a_task_of_images_has_no_names_here(tmp_path):
    frames(tmp_path, 0, 1, name="images/IMG_{}.jpg")
    path = export(tmp_path, track(shape("box", 0, BOX), shape("box", 1, BOX)), meta=task(2, mode="annotation", more=""))
    with pytest.raises(ValueError, match="left out: 2 x frame of a task of images, .* as 'CVAT for images 1.1'"):
        read("cvat", path)


def test_tasks_of_a_project_count_on_within_their_subset(tmp_path):
    """Two videos of Train, one of Val: CVAT gives the second one's frames the numbers after the first one's."""
    tasks = [task(2, more=f"<subset>{name}</subset>{SIZE}") for name in ("Train", "Train", "Val")]
    meta = f"<project><name>p</name><tasks>{''.join(tasks)}</tasks><subsets>Train Val</subsets></project>"
    for subset, count in (("Train", 4), ("Val", 3)):
        frames(tmp_path, *range(count), name=f"images/{subset}/frame_{{:06}}.PNG")
    tracks = [
        track(*(shape("box", frame, BOX) for frame in found), more=f'task_id="{n}" subset="{subset}"', number=n)
        for n, (subset, found) in enumerate((("Train", (0, 1)), ("Train", (3,)), ("Val", (0,))))
    ]
    path = export(tmp_path, *tracks, meta=meta)
    coco, lost, _ = read("cvat", path)
    assert names(coco) == [f"Train/frame_{n:06}.PNG" for n in range(4)] + [f"Val/frame_{n:06}.PNG" for n in range(2)]
    assert [len(rows(coco, name)) for name in names(coco)] == [1, 1, 0, 1, 1, 0] and not lost
    assert names(read("cvat", path, split="Val")[0]) == names(coco)[4:]
    (tmp_path / "images/Val/frame_000000.PNG").unlink()
    assert read("cvat", path, split="Val")[1] == {"frame without an image": ["frame 0 Val: 1 objects"]}
    with pytest.raises(ValueError, match="^split is 'val'; allowed: Train, Val"):
        read("cvat", path, split="val")


def test_groups_and_what_is_left_out(tmp_path):
    frames(tmp_path, 0, 1)
    pair = [track(shape("polygon", 0, points), more='group_id="3"') for points in (SQUARE, 'points="12,3;16,3;16,9"')]
    bad = [shape("polyline", 0, SQUARE), shape("box", "x", BOX), shape("box", -1, BOX), shape("box", "9" * 5000, BOX)]
    bad += [shape("polygon", 0, 'points="1,1"'), shape("cuboid", 1, ""), "<box/>", '<skeleton frame="1" keyframe="1"/>']
    odd = task(2, more="<original_size><width>x</width><height>15</height></original_size>")
    tag = '<tag label="dog" frame="1"/>'  # as other programs write them; CVAT's export for video has none
    coco, lost, _ = read("cvat", export(tmp_path, *pair, track(*bad, number=5), tag, meta=odd))
    assert lost.pop("tag of a whole image") == ["frame '1'"]
    assert len(coco["annotations"]) == 1 and len(coco["annotations"][0]["segmentation"]) == 2
    assert sum(map(len, lost.values())) == len(bad) + 1
    assert lost["shape of type 'polyline', which has no area"] == ["frame_000000.PNG: track '5': polyline 1 ('dog')"]
    assert len(lost["shape of a track without the number of a frame"]) == 4
    assert lost["task with numbers that are none"] == ["task '7': height '15', width 'x'"]
    export(tmp_path, pair[0], meta=task(2, more=SIZE.replace("20", "21")))
    with pytest.raises(ValueError, match="2 x image size is unlike the annotations'; frame 0: 20 x"):
        read("cvat", tmp_path)


def test_tracks_beside_images_are_said(tmp_path):
    photo(tmp_path / "a.png")
    image = f'<image id="0" name="a.png" width="20" height="15"><polygon label="dog" {SQUARE}/></image>'
    _, lost, _ = read("cvat", export(tmp_path, image, track(shape("box", 0, BOX))))
    assert lost == {"track in a file of images": ["track '0'"]}
