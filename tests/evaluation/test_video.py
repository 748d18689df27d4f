"""Frames of a video against a clip that is drawn here: numbers, times, results, and that nothing of them is lost."""

import json
import pathlib
import sys

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.detections import Detections
from mask_rcnn_tf.evaluation import video

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install mask_rcnn_tf[video]")
RATE, FRAMES, SHAPE = 10.0, 12, (64, 96)


def corner(number):
    """Where the dark square of 20 pixels of a frame begins, (y, x)."""
    return 10 + 2 * number, 8 + 4 * number


def write_clip(path, codec):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), RATE, SHAPE[::-1])
    for number in range(FRAMES):
        y, x = corner(number)
        frame = np.full((*SHAPE, 3), (40, 200, 250), np.uint8)  # blue, green, red
        frame[y : y + 20, x : x + 20] = 0
        writer.write(frame)
    writer.release()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_clip(path, video.CODEC)
    return path


def find_dark(images):
    """One object a frame; the frame must be red, green, blue."""
    (image,) = images
    assert image[0, 0, 0] > 200 and image[0, 0, 2] < 90
    dark = image.max(-1) < 100
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    arrays = {
        "detection_boxes": np.float32([[rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]]),
        "detection_scores": np.float32([0.9]),
        "detection_classes": np.int32([2]),
        "detection_masks": np.ones((1, 28, 28), np.float32),
    }
    return [Detections(arrays, image.shape[:2], ModelConfig(num_classes=2, category_ids=(7, 90)))]


def green(image, results):
    """A picture that says how many results there were."""
    picture = image.copy()
    picture[:, -6:] = (0, 255 * len(results), 0)
    return picture


def read_lines(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def read_video(path):
    reader, frames = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        frames.append(read[1])
    return reader.get(cv2.CAP_PROP_FPS), frames


@pytest.mark.parametrize("every", [1, 5])
def test_frames_times_and_results(clip, tmp_path, every):
    said = video.write_video(find_dark, str(clip), tmp_path / "out.mp4", green, every)
    lines, numbers = read_lines(tmp_path / "out.jsonl"), list(range(0, FRAMES, every))
    assert said == f"{len(numbers)} detections on {len(numbers)} frames: {tmp_path}/out.mp4, {tmp_path}/out.jsonl"
    assert [line["frame"] for line in lines] == numbers
    np.testing.assert_allclose([line["time"] for line in lines], np.array(numbers) / RATE, atol=1e-3)
    for number, line in zip(numbers, lines, strict=True):
        (result,) = line["results"]
        y, x = corner(number)
        assert (result["image_id"], result["category_id"]) == (number, 90)
        np.testing.assert_allclose(result["bbox"], [x, y, 20, 20], atol=2)  # the codec blurs edges
        assert coco_mask.area(result["segmentation"]) == result["bbox"][2] * result["bbox"][3]
    rate, frames = read_video(tmp_path / "out.mp4")
    assert (rate, len(frames), frames[0].shape) == (RATE / every, len(numbers), (*SHAPE, 3))
    assert all(frame[:, -4:, 1].mean() > 200 and frame[:, -4:, 2].mean() < 60 for frame in frames)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4"]


def test_a_stop_leaves_what_was_found(clip, tmp_path):
    """Of a URL, which is read as a camera is: its times are the clock's, its end is not known."""
    seen = []

    def find(images):
        seen.append(1)
        return find_dark(images)

    video.write_video(find, clip.as_uri(), tmp_path / "out.mp4", green, stop=lambda: len(seen) == 3)
    lines = read_lines(tmp_path / "out.jsonl")
    assert [line["frame"] for line in lines] == [0, 1, 2] and lines[0]["time"] == 0 < lines[1]["time"]
    assert len(read_video(tmp_path / "out.mp4")[1]) == 3
    said = video.write_video(find_dark, clip.as_uri(), tmp_path / "out.mp4", green)
    assert said.splitlines()[1:] == [f"note: no more frames came from {clip.as_uri()}"]
    assert len(read_lines(tmp_path / "out.jsonl")) == FRAMES == len(read_video(tmp_path / "out.mp4")[1])


def test_an_error_leaves_what_was_found(clip, tmp_path):
    shapes = iter([SHAPE, SHAPE, (32, 96)])

    def shrinking(image, results):
        height, width = next(shapes)
        return image[:height, :width]

    with pytest.raises(ValueError, match="frame has 32 x 96 pixels; allowed: 64 x 96, as before"):
        video.write_video(find_dark, str(clip), tmp_path / "out.mp4", shrinking)
    assert len(read_lines(tmp_path / "out.jsonl")) == 3 and len(read_video(tmp_path / "out.mp4")[1]) == 2


def test_a_video_that_lacks_frames_is_not_called_complete(tmp_path):
    file = video.VideoFile(tmp_path / "out.mp4", RATE)
    file.add(np.zeros((*SHAPE, 3), np.uint8))
    file.count += 1
    with pytest.raises(OSError, match="out.partial.mp4: has 1 of 2 frames; is the disk full"):
        file.close()


def test_a_cut_clip_is_said(tmp_path):
    path = tmp_path / "clip.avi"
    write_clip(path, "MJPG")
    frames = path.read_bytes().split(b"00dc")
    path.write_bytes(b"00dc".join(frames[:6]))  # the header and 5 at most
    said = video.write_video(find_dark, str(path), tmp_path / "out.mp4", green)
    read = len(read_lines(tmp_path / "out.jsonl"))
    assert 0 < read < 6
    assert said.endswith(f"\nwarning: the video says that it has {FRAMES} frames; {read} could be read")


@pytest.mark.parametrize(
    "name, message",
    [
        ("none.mp4", "input is 'none.mp4'; there is no such file. Allowed: a video, a camera, a URL"),
        ("text.mp4", "input is 'text.mp4'; OpenCV cannot open it"),
        ("77", "input is '77'; OpenCV cannot open it"),
    ],
)
def test_what_is_no_video(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=message) as caught:
        video.write_video(find_dark, name, "out.mp4", green)
    assert "\n" not in str(caught.value) and not (tmp_path / "out.mp4").exists()


def test_the_name_of_the_output(clip):
    with pytest.raises(ValueError, match="output is 'out.avi'; allowed: a name that ends in .mp4"):
        video.write_video(find_dark, str(clip), "out.avi", green)


def test_without_opencv(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        ValueError, match=r"^OpenCV cannot be imported .*; allowed: `pip install mask_rcnn_tf\[video\]`"
    ):
        video.Source("0")
