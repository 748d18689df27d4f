"""CVAT for video 1.1: tracks, whose shapes are listed frame by frame, beside the frames as image files.

An export lists every frame in which a track is seen: keyframes, and those between them as CVAT interpolates them. The
XML has no names of images, only the number of each frame, from 0 where the video begins; CVAT writes frame 12 as
frame_000012.PNG. So a frame is the image whose name ends in its number. The frames of a task of images have no such
names, and are left out.

Source: cvat, `dataset_manager/formats/cvat.py` (`dump_as_cvat_interpolation`, `dump_media_files`), `bindings.py`
(`abs_frame_id`, the meta of tasks and jobs, `_init_task_frame_offsets`), `annotation.py` (`get_interpolated_shapes`).
"""

import dataclasses
import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from itertools import accumulate
from typing import NamedTuple
from xml.etree.ElementTree import Element

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.conversion import cvat_shapes
from mask_rcnn_tf.conversion.cvat_shapes import Shape
from mask_rcnn_tf.conversion.image_folder import ImageFolder, stem
from mask_rcnn_tf.conversion.labelled import LabelledImage, Report, stated_shape

NUMBER = re.compile(r"[0-9]+$")  # at the end of a name without its suffix
STEP = re.compile(r"step\s*=\s*([1-9][0-9]{0,8})")
DEFAULT = "default"  # the subset of tasks of a project that have none
MOST_DIGITS = 12  # of a frame
UNNAMED = "frame of a task of images, whose names 'CVAT for video' does not have: export it as 'CVAT for images 1.1'"
BETWEEN = "frame inside a track that does not list it: deleted in CVAT, or of a file that has keyframes alone"
INTERPOLATED = "objects lie between keyframes, where CVAT interpolated them"


class Frame(NamedTuple):
    """A frame of a task."""

    subset: str
    number: int


@dataclasses.dataclass(frozen=True)
class Clip:
    """A task, or a job, as the meta of the file has it.

    Attributes:
      subset: of a task of a project; "" elsewhere.
      numbers: of its frames.
      last: the last frame of its video.
      shape: (h, w) of its frames, pixels; None where the file does not say.
      is_video: whether its frames are of a video, and not images with names of their own.
    """

    subset: str
    numbers: range
    last: int
    shape: tuple[int, int] | None
    is_video: bool


def frames(
    root: Element, images: ImageFolder, joints: dict[str, list[str]], split: str, report: Report
) -> list[LabelledImage]:
    """The frames of an export for video that are there as images.

    Args:
      root: of the XML.
      images: the images.
      joints: names of the keypoints of each label; those that it lacks are added.
      split: a subset; "" for all.
      report: gets frames without an image, and what cannot be used.

    Returns:
      Frames with objects, and those of the tasks without, by number.

    Raises:
      ValueError: the images count from 1.
    """
    for tag in root.iterfind("tag"):
        report.lose(Rejected("tag of a whole image"), f"frame {shown(tag.get('frame')):.40}")
    clips = _clips(root, report)
    shapes, gaps = _tracks(root, clips, split, report)
    numbered = Numbered(images.names, {track.get("subset", "") for track in root.iter("track")} | set(clips))
    clips = {subset: found for subset, found in clips.items() if split in ("", subset)}
    _check_first(numbered, clips, images)
    wanted = sorted({*shapes, *(frame for found in clips.values() for clip in found for frame in numbered.of(clip))})
    skipped = _inside(wanted, gaps)
    found = []
    for frame in wanted:
        try:
            clip = _clip_of(frame, clips)
            if clip and not clip.is_video:
                raise Rejected(UNNAMED)
            name = numbered.find(frame)
            if frame in skipped:
                raise Rejected(BETWEEN, name)
            image = images.image(name, clip and clip.shape)
        except Rejected as error:
            detail = "; ".join(filter(None, [error.detail, f"{len(shapes.get(frame, ()))} objects"]))
            report.lose(Rejected(error.kind, detail), f"frame {frame.number} {frame.subset}".rstrip())
            continue
        image.objects = cvat_shapes.objects(shapes.get(frame, ()), image, joints, report)
        found.append(image)
    return found


def _tracks(
    root: Element, clips: dict[str, list[Clip]], split: str, report: Report
) -> tuple[dict[Frame, list[Shape]], list[tuple[Frame, Frame]]]:
    """(shapes of each frame in which one is seen, pairs of frames between which a track is there and lists none)."""
    shapes: dict[Frame, list[Shape]] = defaultdict(list)
    gaps, interpolated = [], 0
    for track in root.iter("track"):
        subset, group = track.get("subset", ""), track.get("group_id", "0")
        if split not in ("", subset):
            continue
        seen = {}
        for place, element in enumerate(track, 1):
            where = f"track {shown(track.get('id')):.40}: {element.tag} {place}"
            try:
                frame = Frame(subset, _whole(element.get("frame")))
            except Rejected as error:
                report.lose(Rejected("shape of a track without the number of a frame", error.detail), where)
                continue
            seen[frame] = not cvat_shapes.is_outside(element)
            if seen[frame]:
                shapes[frame].append(Shape(element, where, track.get("label"), group))
                interpolated += element.get("keyframe") == "0"
        gaps += _gaps(seen, clips)
    if interpolated:
        report.note(INTERPOLATED, interpolated)
    return shapes, gaps


def _gaps(seen: dict[Frame, bool], clips: dict[str, list[Clip]]) -> list[tuple[Frame, Frame]]:
    """Pairs of frames between which a track is there and lists none.

    A track goes on until it lists a frame in which it is outside, or to the end of its task. A shape of one frame is
    a track too, whose end CVAT leaves out near the end of a video.
    """
    listed = sorted(seen)
    pairs = list(zip(listed, listed[1:], strict=False))
    if pairs and (clip := _clip_of(listed[-1], clips)):
        pairs.append((listed[-1], Frame(clip.subset, clip.numbers.stop)))
    return [pair for pair in pairs if seen[pair[0]]]


def _whole(text: str | None) -> int:
    if text is None or not (text.isascii() and text.isdecimal()) or len(text) > MOST_DIGITS:
        raise Rejected("number that is none", f"{shown(text):.40}; allowed: 0, 1, 2, ...")
    return int(text)


def _clips(root: Element, report: Report) -> dict[str, list[Clip]]:
    """The tasks of the file by subset; those of one subset of a project count their frames on."""
    meta = root.find("meta")
    tasks = [] if meta is None else [element for element in meta.iter() if element.tag in ("task", "job")]
    is_project = meta is not None and meta.find("project") is not None
    clips: dict[str, list[Clip]] = defaultdict(list)
    for task in tasks if is_project else tasks[:1]:
        subset = (task.findtext("subset") or DEFAULT) if is_project else ""
        offset = clips[subset][-1].numbers.stop if clips[subset] else 0
        try:
            clips[subset].append(_clip(task, meta, subset, offset))
        except Rejected as error:
            report.lose(Rejected("task with numbers that are none", error.detail), f"task {shown(task.findtext('id'))}")
    return clips


def _clip(task: Element, meta: Element, subset: str, offset: int) -> Clip:
    count, first = _whole(task.findtext("size") or "0"), offset + _whole(task.findtext("start_frame") or "0")
    step = STEP.search(task.findtext("frame_filter") or "")
    step = int(step[1]) if step else 1
    numbers = range(first, first + step * count, step)
    stop = task.findtext("stop_frame")
    last = offset + _whole(stop) if stop else first + step * (count - 1)
    size = next(
        (found for found in map(lambda place: place.find("original_size"), (task, meta)) if found is not None), None
    )
    shape = None if size is None else stated_shape(size.findtext("height"), size.findtext("width"))
    return Clip(subset, numbers, last, shape, task.findtext("mode") != "annotation")


def _clip_of(frame: Frame, clips: dict[str, list[Clip]]) -> Clip | None:
    own = clips.get(frame.subset, [])
    index = bisect_right(own, frame.number, key=lambda clip: clip.numbers.start) - 1
    return own[index] if index >= 0 and frame.number in own[index].numbers else None


class Numbered:
    """Images by the number at the end of their names.

    Args:
      names: of the images, with slashes.
      subsets: of the file. Where there are several, an image lies in the folder of its own, as in an export.
    """

    def __init__(self, names: list[str], subsets: set[str]):
        self._by_number: dict[int, list[str]] = defaultdict(list)
        self._has_several = len(subsets) > 1
        for name in names:
            digits = NUMBER.search(stem(name))
            if digits and len(digits[0]) <= MOST_DIGITS:
                self._by_number[int(digits[0])].append(name)
        self.numbers = sorted(self._by_number)

    def of(self, clip: Clip) -> list[Frame]:
        """The frames of a task that have an image or several."""
        first, last = (bisect_left(self.numbers, end) for end in (clip.numbers.start, clip.numbers.stop))
        named = [Frame(clip.subset, number) for number in self.numbers[first:last] if number in clip.numbers]
        return [frame for frame in named if self._named(frame)]

    def find(self, frame: Frame) -> str:
        """The image of a frame: CVAT's own name comes first. Raises Rejected: there is none, or several."""
        names = self._named(frame)
        own = [name for name in names if stem(name).rpartition("/")[2] == f"frame_{frame.number:06}"]
        names = own or names
        if not names:
            raise Rejected("frame without an image")
        if len(names) > 1:
            raise Rejected("frame whose number several images have", f"{names[0]} and {names[1]}")
        return names[0]

    def _named(self, frame: Frame) -> list[str]:
        names = self._by_number.get(frame.number, [])
        inside = [name for name in names if frame.subset in name.split("/")[:-1]]
        return inside or ([] if self._has_several else names)


def _check_first(numbered: Numbered, clips: dict[str, list[Clip]], images: ImageFolder):
    """Raises ValueError where images are numbered from 1, as ffmpeg does: each would get its neighbour's objects."""
    found = [clip for own in clips.values() for clip in own]
    if len(found) == 1 and found[0].numbers and numbered.numbers:
        first, last = found[0].numbers.start, found[0].last
        if (numbered.numbers[0], numbered.numbers[-1]) == (first + 1, last + 1):
            raise ValueError(
                f"images is '{printable(images.root)}' with the numbers {first + 1} to {last + 1}, and the frames are "
                f"{first} to {last}; allowed: numbers as CVAT counts (ffmpeg: -start_number {first})."
            )


def _inside(wanted: list[Frame], gaps: list[tuple[Frame, Frame]]) -> set[Frame]:
    """The frames, of a sorted list, that lie between those of a pair."""
    change = [0] * (len(wanted) + 1)
    for first, last in gaps:
        change[bisect_right(wanted, first)] += 1
        change[bisect_left(wanted, last)] -= 1
    return {frame for frame, depth in zip(wanted, accumulate(change), strict=False) if depth > 0}
