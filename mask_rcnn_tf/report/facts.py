"""What a report is made of."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from pycocotools import coco

from mask_rcnn_tf.report.settings import Settings

ReadImages = Callable[[Sequence[int]], Iterator[tuple[int, np.ndarray | str]]]


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Counts of what was trained on."""

    images: int
    objects: int
    by_class: Mapping[str, int]  # objects by the name of their class, as `per_category` of the metrics has it
    sizes: Mapping[str, int]  # objects by COCO's "small", "medium", "large"


@dataclasses.dataclass(frozen=True)
class Facts:
    """A score and all that is known of how it came about."""

    title: str
    about: str  # what was scored on what, a sentence
    metrics: dict[str, dict]  # of `coco_metrics.score`
    truth: coco.COCO  # what was scored against, judged
    results: list[dict]  # what was scored
    max_dets: int  # detections an image and class that counted
    read_images: ReadImages  # from ids to (id, uint8 [h, w, 3] or why there is none)
    settings: Settings
    files: Sequence[tuple[str, str]]  # (path from the page's folder, what is there)
    notes: Sequence[str] = ()  # what is not as it should be, a sentence each
    lines: Sequence[dict] = ()  # of `log.jsonl`
    training: TrainingData | None = None
    model: str = ""  # path of the model, for the command that uses it
