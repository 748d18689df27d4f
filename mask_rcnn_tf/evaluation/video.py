"""Predicts the frames of a video or a camera, by OpenCV: the drawn video, and a line of COCO results a frame."""

import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.coco.errors import printable
from mask_rcnn_tf.progress import Progress

CODEC = "mp4v"  # MPEG-4 part 2, which every build of OpenCV writes; H.264 needs a library that wheels may not ship
RATE, FASTEST = 25.0, 240.0  # frames a second: where a source says none, and the most that is believed
Draw = Callable[[np.ndarray, list[dict]], np.ndarray]


class Source:
    """A video or a camera, frame by frame.

    Args:
      name: a file, the number of a camera of this machine, or a URL that OpenCV opens, such as rtsp://.

    Attributes:
      rate: frames a second.
      total: frames that the file says it has; None: not known.
      read: frames that were read or passed over.

    Raises:
      ValueError: OpenCV is not installed, or opens no such thing.
    """

    def __init__(self, name: str):
        self._cv2 = opencv()
        is_live = name.isdecimal() or "://" in name
        if not is_live and not os.path.isfile(name):
            raise ValueError(f"input is {printable(name)!r}; there is no such file. Allowed: a video, a camera, a URL.")
        log = getattr(self._cv2.utils, "logging", self._cv2)  # of OpenCV 5, and 4
        level = log.getLogLevel()
        log.setLogLevel(0)  # what cannot be opened is said below, in one line
        self._capture = self._cv2.VideoCapture(int(name) if name.isdecimal() else name)
        log.setLogLevel(level)
        if not self._capture.isOpened():
            raise ValueError(f"input is {printable(name)!r}; OpenCV cannot open it. Allowed: a video, a camera, a URL.")
        self.name, self._is_live, self.read = name, is_live, 0
        rate = self._capture.get(self._cv2.CAP_PROP_FPS)
        self.rate = rate if 0 < rate <= FASTEST else RATE
        total = self._capture.get(self._cv2.CAP_PROP_FRAME_COUNT)
        self.total = int(total) if total > 0 and not is_live else None

    def frames(self, every: int) -> Iterator[tuple[int, float, np.ndarray]]:
        """Every so many frames: its number from 0, its time in seconds from the first, and uint8 [h, w, 3], RGB."""
        started = None
        while self._capture.grab():
            number, self.read = self.read, self.read + 1
            now = time.monotonic() if self._is_live else self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
            started = now if started is None else started
            if number % every:
                continue
            decoded, frame = self._capture.retrieve()
            if not decoded:
                return
            yield number, now - started, self._cv2.cvtColor(frame, self._cv2.COLOR_BGR2RGB)

    def close(self):
        """Gives the file or the camera back."""
        self._capture.release()


def opencv() -> Any:
    """The module of OpenCV. Raises ValueError: it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise ValueError(f"OpenCV cannot be imported ({error}); allowed: `pip install mask_rcnn_tf[video]`.") from None
    return cv2


class VideoFile:
    """A video that has its name once it is complete; until then it is beside it, `NAME.partial.mp4`.

    Args:
      path: ending in .mp4. An older file there goes with the first frame.
      rate: frames a second.
    """

    def __init__(self, path: pathlib.Path, rate: float):
        self.path, self._rate, self.count = path, rate, 0
        self._partial = path.with_name(f"{path.stem}.partial{path.suffix}")
        self._cv2, self._writer, self._shape = opencv(), None, None

    def add(self, picture: np.ndarray):
        """Appends uint8 [h, w, 3], RGB. Raises ValueError: it has another size; OSError: nothing can be written."""
        if self._writer is None:
            self.path.unlink(missing_ok=True)
            self._shape, codec = picture.shape, self._cv2.VideoWriter_fourcc(*CODEC)
            self._writer = self._cv2.VideoWriter(os.fspath(self._partial), codec, self._rate, picture.shape[1::-1])
            if not self._writer.isOpened():
                raise OSError(f"{printable(self._partial)}: OpenCV cannot write a video there.")
        if picture.shape != self._shape:  # OpenCV would leave it out and say nothing
            (height, width), before = picture.shape[:2], self._shape
            raise ValueError(f"frame has {height} x {width} pixels; allowed: {before[0]} x {before[1]}, as before.")
        self._writer.write(self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2BGR))
        self.count += 1

    def close(self):
        """Completes the video of the frames until now. Raises OSError: it lacks some, e.g. as the disk is full."""
        if self._writer is None:
            return
        self._writer.release()
        reader = self._cv2.VideoCapture(os.fspath(self._partial))
        written = int(reader.get(self._cv2.CAP_PROP_FRAME_COUNT)) if reader.isOpened() else 0
        reader.release()
        if written != self.count:  # OpenCV does not say so when it writes
            raise OSError(f"{printable(self._partial)}: has {written} of {self.count} frames; is the disk full?")
        whole_files.put(self._partial, self.path)


def write_video(
    predict: Callable[[list[np.ndarray]], list],
    source: str,
    path: str | os.PathLike,
    draw: Draw,
    every: int = 1,
    *,
    stop: Callable[[], bool] = lambda: False,
) -> str:
    """Predicts a video or a camera, until its end or until `stop`.

    The video has the frames that were predicted, `rate / every` a second. Beside it are lines of JSON, one a frame, on
    the disk as soon as it is predicted: {"frame": from 0, "time": seconds, "results": COCO results with the frame as
    `image_id`}. However it ends, but by SIGKILL, both are complete up to the last frame.

    Args:
      predict: of `mask_rcnn_tf.make_predictor`.
      source: see `Source`.
      path: of the video that is to be, ending in .mp4; the lines' ends in .jsonl.
      draw: from a frame, uint8 [h, w, 3] RGB, and its results to a picture of one size.
      every: 1 for all frames, 2 for every other one.
      stop: asked after each frame.

    Returns:
      Text that says what was found.

    Raises:
      ValueError: the source cannot be opened, has no frame, or its frames change their size.
      OSError: something cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"output is {printable(path)!r}; allowed: a name that ends in .mp4.")
    opened, found = Source(source), 0
    beside, video = path.with_suffix(".jsonl"), VideoFile(path, max(opened.rate / every, 1.0))
    progress = Progress(None if opened.total is None else -(-opened.total // every), "frame")
    try:
        with beside.open("w") as lines:
            for number, seconds, image in opened.frames(every):
                (detections,) = predict([image])
                results = detections.to_coco(number)
                lines.write(json.dumps({"frame": number, "time": round(seconds, 6), "results": results}) + "\n")
                lines.flush()
                video.add(draw(image, results))
                found += len(results)
                progress.add(1)
                if stop():
                    break
    finally:
        opened.close()
        video.close()
    if not video.count:
        beside.unlink()
        raise ValueError(f"input is {printable(source)!r}; no frame of it can be read.")
    return _said(opened, video, found, beside, stop())


def _said(source: Source, video: VideoFile, found: int, beside: pathlib.Path, stopped: bool) -> str:
    text = f"{found} detections on {video.count} frames: {video.path}, {beside}"
    if not stopped and source.total is None:  # a camera has no end
        return f"{text}\nnote: no more frames came from {printable(source.name)}"
    if stopped or source.read >= source.total:
        return text
    return f"{text}\nwarning: the video says that it has {source.total} frames; {source.read} could be read"
