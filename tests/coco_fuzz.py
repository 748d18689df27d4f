"""Feeds damaged files to what reads them, in a process of its own: `coco_fuzz.py KIND SEED COUNT FOLDER`.

The last line is JSON: outcomes, seconds of the slowest input, memory in MB. A hang ends the process by SIGALRM.
"""

import collections
import json
import logging
import pathlib
import resource
import signal
import sys
import time
import traceback

import coco_mutations
import numpy as np

from mask_rcnn_tf.coco import completion, reader
from mask_rcnn_tf.config import Config, ModelConfig
from mask_rcnn_tf.data import check, coco, coco_builder, examples
from mask_rcnn_tf.data.report import Report
from mask_rcnn_tf.evaluation import coco_metrics, compare_results, files

PATIENCE = 5  # seconds of one input, after which the process is ended


class Reading:
    """The ways that a COCO file, or a file of results, is read."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.path = folder, folder / "damaged.json"
        self.good, self.results = coco_mutations.write_good(folder)
        self.config = Config()
        self.config.data.train_annotations = self.config.data.val_annotations = str(self.path)
        self.config.data.train_images = self.config.data.val_images = str(folder)
        self.model = ModelConfig(num_classes=2, category_ids=(1, 2), class_names=("cell", "leaf"))

    def check(self):
        check.check(str(self.path), str(self.folder), pictures=1)

    def train(self):
        options = examples.ScanOptions((1, 2), 2)
        report = Report(annotations_file="damaged")
        for example in examples.scan(reader.read_annotations(self.path), str(self.folder), options, report):
            assert np.isfinite(example["boxes"]).all() and (example["boxes"][:, 2:] > example["boxes"][:, :2]).all()
        json.loads(json.dumps(report.to_json()))
        report.table(100)
        coco_builder.check_not_empty(report)
        coco_builder.check_usable(report)

    def val(self):
        coco_metrics.score(coco.ground_truth(self.config, "val"), self.results, ("bbox", "segm"))

    def score_keypoints(self):
        found = [result | {"keypoints": [1, 1, 1, 2, 2, 1]} for result in self.results]
        coco_metrics.score(self.path, found, ("bbox", "keypoints"), sigmas=(0.1, 0.1))

    def usable(self):
        completion.usable(reader.read_annotations(self.path))

    def evaluate(self):
        def predict(images):
            found = {"detection_boxes": np.array([[3, 4, 18, 24]], np.float32)}
            found |= {"detection_scores": np.ones(1, np.float32), "detection_classes": np.ones(1, np.int32)}
            return [found | {"detection_masks": np.ones((1, 28, 28), np.float32)}]

        files.evaluate_files(predict, str(self.path), str(self.folder), self.model, verbose=0)

    def compare(self):
        compare_results.compare(reader.read_results(self.path), self.results, compare_results.Tolerance(), 0.05, 100)

    def score(self):
        coco_metrics.score(self.good, json.loads(self.path.read_bytes()), ("bbox", "segm"))

    def ways(self, kind: str) -> list:
        if kind == "results":
            return [self.compare, self.score]
        return [self.check, self.train, self.val, self.score_keypoints, self.usable, self.evaluate]


def outcome(way) -> str:
    """ "ok", "error" for one clear message, "traceback" for anything else, which is printed."""
    try:
        way()
        return "ok"
    except ValueError as error:
        lines = str(error).split("\n")
        is_json = isinstance(error, json.JSONDecodeError | UnicodeDecodeError)  # of the reading in this file
        if is_json or all(line.isprintable() and len(line) < 900 for line in lines) and type(error) is ValueError:
            return "error"
        traceback.print_exc()
    except RecursionError:  # as above
        return "error" if way.__name__ == "score" else traceback.print_exc() or "traceback"
    except Exception:
        traceback.print_exc()
    return "traceback"


def main(kind: str, seed: int, count: int, folder: pathlib.Path):
    """Reads `count` damaged files and prints what became of them."""
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    random, reading = np.random.default_rng(seed), Reading(folder)
    good = reading.results if kind == "results" else reading.good
    reading.path.write_text(json.dumps(good))
    for way in reading.ways(kind):
        way()  # what is not damaged is read
    outcomes, slowest, memory = collections.Counter(), 0.0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for index in range(count):
        reading.path.write_bytes(coco_mutations.mutate(good, random))
        for way in reading.ways(kind):
            signal.alarm(PATIENCE)
            begin = time.monotonic()
            found = outcome(way)
            if found == "traceback":
                print(f"{kind} {seed} {index} {way.__name__}", file=sys.stderr, flush=True)
            slowest = max(slowest, time.monotonic() - begin)
            outcomes[f"{way.__name__} {found}"] += 1
    signal.alarm(0)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    print(json.dumps({"outcomes": outcomes, "slowest": slowest, "memory": used}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), pathlib.Path(sys.argv[4]))
