"""The TFDS builder `coco_json`: the examples of one annotation file, prepared once and cached."""

import dataclasses
from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.coco.gate import refusal
from mask_rcnn_tf.data import examples
from mask_rcnn_tf.data.report import Report


@dataclasses.dataclass(eq=False)
class CocoJsonConfig(tfds.core.BuilderConfig):
    """One annotation file with its images; `name` is that of `contents.set_name`."""

    annotations: str = ""  # path of the JSON
    images: str = ""  # folder
    split: str = "train"  # name of the only split
    options: examples.ScanOptions = dataclasses.field(default_factory=examples.ScanOptions)


class CocoJson(tfds.core.GeneratorBasedBuilder):
    """TFDS builder `coco_json`, with one split in the file's order.

    Images are stored as their files' bytes, or as PNG where TensorFlow does not decode those, masks as run lengths. The
    `Report` is in `info.metadata["report"]`.
    """

    VERSION = tfds.core.Version("1.4.0")
    RELEASE_NOTES = {
        "1.0.0": "First version.",
        "1.1.0": "The sizes of images.",
        "1.2.0": "Their EXIF orientation; what can be repaired of an annotation is repaired.",
        "1.3.0": "EXIF behind the pixels of a PNG; GIFs whose first frame is a part of the image.",
        "1.4.0": "Images of any number of channels, and of 16 bits.",
    }
    BUILDER_CONFIGS = []

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Tensor(shape=(), dtype=tf.string),
            "orientation": tfds.features.Scalar(dtype=tf.int32),  # that is applied to the pixels
            "height": tfds.features.Scalar(dtype=tf.int32),
            "width": tfds.features.Scalar(dtype=tf.int32),
            "image_id": tfds.features.Scalar(dtype=tf.int64),
            "boxes": tfds.features.Tensor(shape=(None, 4), dtype=tf.float32),  # [y1, x1, y2, x2] pixels
            "classes": tfds.features.Tensor(shape=(None,), dtype=tf.int32),  # 1..C
            "runs": tfds.features.Tensor(shape=(None,), dtype=tf.int32),  # of all masks, one after the other
            "num_runs": tfds.features.Tensor(shape=(None,), dtype=tf.int32),  # of each mask; 0 without a mask
        }
        num_keypoints = self.builder_config.options.num_keypoints
        if num_keypoints:
            features["keypoints"] = tfds.features.Tensor(shape=(None, num_keypoints, 3), dtype=tf.float32)
        return tfds.core.DatasetInfo(
            builder=self,
            description="Images and instances of a COCO-format annotation file.",
            features=tfds.features.FeaturesDict(features),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
        return {self.builder_config.split: self._generate_examples()}

    def _generate_examples(self) -> Iterator[tuple[int, dict]]:
        wanted = self.builder_config
        report = Report(annotations_file=wanted.annotations)
        coco = reader.read_annotations(wanted.annotations)
        for index, example in enumerate(examples.scan(coco, wanted.images, wanted.options, report)):
            check_usable(report)
            yield index, _stored(example)
        check_not_empty(report, need_annotations=not wanted.options.strict)
        check_usable(report)
        self.info.metadata["report"] = report.to_json()


def _stored(example: dict) -> dict:
    runs = example["runs"]
    stored = {key: example[key] for key in ("image", "orientation", "height", "width", "image_id", "boxes", "classes")}
    stored["runs"] = np.concatenate(runs) if runs else np.zeros(0, np.int32)
    stored["num_runs"] = np.asarray([len(counts) for counts in runs], np.int32)
    if example["keypoints"] is not None:
        stored["keypoints"] = example["keypoints"]
    return stored


def check_usable(report: Report) -> None:
    """Raises ValueError when a file contradicts itself."""
    if report.contradictions:
        raise ValueError(refusal(f"annotations {report.annotations_file}", report.contradictions))


def check_not_empty(report: Report, need_annotations: bool = True) -> None:
    """Raises ValueError when no image, or no annotation where they are needed, is left of a file."""
    left = "image" if not report.used_images else "annotation" if not report.used_annotations else ""
    if left == "image" or (left and need_annotations):
        first = f"; first bad record: {report.bad[0]}" if report.bad else ""
        why = "".join(f"; {reason}" for reason in report.contradictions)
        raise ValueError(
            f"annotations {report.annotations_file} has no usable {left}: {report.images} images, {report.annotations} "
            f"annotations, {report.crowd} crowd, {len(report.bad)} bad records{first}{why}."
        )
