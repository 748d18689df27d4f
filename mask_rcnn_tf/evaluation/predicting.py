"""Predicts image files one by one; whatever one of them does, the others keep their results."""

import dataclasses
import json
import logging
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.coco import pictures
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.coco.errors import printable
from mask_rcnn_tf.coco.proposals import Proposals
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import tiles
from mask_rcnn_tf.evaluation.image_files import ImageFile
from mask_rcnn_tf.evaluation.tiles import Tiling
from mask_rcnn_tf.ops.decode_image import MAX_PIXELS
from mask_rcnn_tf.progress import Progress

LOG = logging.getLogger("mask_rcnn_tf")
Predict = Callable[..., list[dict]]
OnImage = Callable[[ImageFile, np.ndarray, list[dict]], None]


@dataclasses.dataclass
class Outcome:
    """What became of one file: its image uint8 [h, w, 3] and its results, or one line that says why there are none."""

    file: ImageFile
    image: np.ndarray | None = None
    results: list[dict] = dataclasses.field(default_factory=list)
    error: str = ""
    facts: dict[str, int] = dataclasses.field(default_factory=dict)  # see `coco.pictures.add_facts`


def predict_each(
    predict: Predict,
    files: Sequence[ImageFile],
    config: ModelConfig,
    max_pixels: int = MAX_PIXELS,
    proposals: Proposals | None = None,
    tiling: Tiling | None = None,
) -> Iterator[Outcome]:
    """Predicts files one by one, with one image in memory.

    Args:
      predict: from uint8 images to detections an image in original pixels, as `mask_rcnn_tf.predict_images` with a
        model bound to it.
      files: what to predict.
      config: the model's.
      max_pixels: h * w that an image may have.
      proposals: of all the images, for a model without an RPN; `predict` gets those of an image besides.
      tiling: how images are cut into tiles; None predicts them whole.

    Yields:
      An `Outcome` a file, in their order; results are COCO's, with `file_name`.
    """
    ids, detection = coco_results.category_ids(config), config.detection
    for file in files:
        try:
            image, facts = pictures.read_pixels(file.path, file.shape, config.preprocess.pixels, max_pixels)
        except ValueError as error:
            yield Outcome(file, error=printable(str(error)))
            continue
        try:
            if tiling is not None:
                objects = tiles.predict_tiles(predict, image, tiling, detection)
                found = tiles.to_results(objects, file.image_id, image.shape[:2], ids)
            else:
                given = () if proposals is None else ([proposals.of_image(file.image_id)],)
                (detections,) = predict([image], *given)
                rule = detection.mask_threshold, detection.paste
                found = coco_results.to_results(detections, file.image_id, image.shape[:2], ids, *rule)
        except (MemoryError, tf.errors.OpError) as error:
            size = f"{image.shape[0]} x {image.shape[1]} pixels (h x w)"
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            yield Outcome(file, error=f"{printable(file.path)}: cannot be predicted, {size}: {reason:.200}")
            continue
        yield Outcome(file, image, [dict(result, file_name=file.file_name) for result in found], facts=facts)


def predict_files(
    predict: Predict,
    files: Sequence[ImageFile],
    config: ModelConfig,
    verbose: int = 1,
    proposals: Proposals | None = None,
    tiling: Tiling | None = None,
) -> tuple[list[dict], list[str]]:
    """Predicts files one by one; those that cannot be read are reported and left out.

    Args:
      predict: see `predict_each`.
      files: what to predict.
      config: the model's.
      verbose: 0 hides the progress.
      proposals: see `predict_each`.
      tiling: see `predict_each`.

    Returns:
      COCO results with `file_name`, and one message for each file that could not be read.
    """
    progress = Progress(len(files), "image", verbose=verbose)
    results, failures, facts = [], [], {}
    for outcome in predict_each(predict, files, config, proposals=proposals, tiling=tiling):
        progress.add(1)
        pictures.add_facts(facts, outcome.facts)
        results += outcome.results
        failures += [outcome.error] * bool(outcome.error)
    for line in pictures.fact_lines(facts, config.preprocess.pixels):
        LOG.warning("%s", line)
    return results, failures


class ResultsFile:
    """COCO results that are on disk as soon as they are found: a run that is killed leaves those of the images before.

    They are lines of JSON beside `path` until `finish` makes the one list of them at once, and removes the lines.
    """

    def __init__(self, path: str | os.PathLike):
        """Begins with an empty list; what an earlier run has left there goes, so that nothing of it is taken for new.

        Args:
          path: of the JSON file that is to be.
        """
        self.path = pathlib.Path(path)
        self.partial = self.path.with_name(f"{self.path.stem}.partial.jsonl")
        self.count = 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        self._lines = self.partial.open("w")

    def add(self, results: Sequence[dict]):
        """Writes the results of an image, a line each."""
        self._lines.writelines(json.dumps(result) + "\n" for result in results)
        self._lines.flush()
        self.count += len(results)

    def finish(self):
        """Makes the JSON file, whole or not at all."""
        self._lines.close()
        with whole_files.replacing(self.path) as whole, self.partial.open() as lines, whole.open("w") as file:
            file.write("[")
            for number, line in enumerate(lines):
                file.write(f"{',' if number else ''}\n{line.rstrip()}")
            file.write("\n]\n")
        self.partial.unlink()


def write_predictions(
    predict: Predict,
    files: Sequence[ImageFile],
    config: ModelConfig,
    path: str | os.PathLike,
    on_image: OnImage,
    max_pixels: int = MAX_PIXELS,
    *,
    tiling: Tiling | None = None,
) -> tuple[list[str], list[str], str]:
    """Predicts files into a `ResultsFile`, image by image.

    Args:
      predict: see `predict_each`.
      files: what to predict.
      config: the model's.
      path: of the JSON file that is to be.
      on_image: called with each file, its image uint8 [h, w, 3] and its results, once these are written.
      max_pixels: h * w that an image may have.
      tiling: see `predict_each`.

    Returns:
      One line for each file that could not be predicted; for each other one for which `on_image` failed; and text
      that says what was found.

    Raises:
      OSError: the results cannot be written, e.g. because the disk is full; those before are in the lines.
    """
    progress = Progress(len(files), "image")
    written, failures, undrawn, facts = ResultsFile(path), [], [], {}
    for outcome in predict_each(predict, files, config, max_pixels, tiling=tiling):
        progress.add(1)
        pictures.add_facts(facts, outcome.facts)
        if outcome.error:
            failures.append(outcome.error)
            continue
        written.add(outcome.results)
        try:
            on_image(outcome.file, outcome.image, outcome.results)
        except Exception as error:  # of any kind: a picture is the least that a run is for
            undrawn.append(f"{printable(outcome.file.path)}: no picture: {type(error).__name__}: {str(error):.120}")
    written.finish()
    notes = [f"warning: {line}" for line in pictures.fact_lines(facts, config.preprocess.pixels)]
    found = f"{written.count} detections on {len(files) - len(failures)} images: {written.path}"
    return failures, undrawn, "\n".join([*notes, found])
