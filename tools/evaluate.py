"""Scores a saved model on a COCO-format file, or one of LVIS by LVIS's measure.

python tools/evaluate.py --model m.keras --annotations a.json --images folder --output metrics.json [--report r.html]

Exits with 1 where images cannot be read: the tables are written, and the score is partial.
"""

import pathlib

from absl import flags

import mask_rcnn_tf
from mask_rcnn_tf import evaluation, report
from mask_rcnn_tf.evaluation import files, judges
from mask_rcnn_tf.training.flags import check_output, define_augmentation, define_tiling, run

MODEL = flags.DEFINE_string("model", None, "Saved model (.keras).", required=True)
ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO-format JSON.", required=True)
IMAGES = flags.DEFINE_string("images", None, "Folder of its images.", required=True)
OUTPUT = flags.DEFINE_string("output", None, "Where to write the tables (JSON).", required=True)
RESULTS = flags.DEFINE_string("results", None, "Where to write the COCO results (JSON), if anywhere.")
REPORT = flags.DEFINE_string(
    "report", None, "Where to write a page with all that the figures mean (HTML), if anywhere."
)
SIGMAS = flags.DEFINE_list("keypoint_sigmas", [], "One number a keypoint; none: the model's.")
MAX_DETS = flags.DEFINE_list("max_dets", [], "Detections an image that count, ascending; none: 1,10,100, of LVIS 300.")
JUDGE = flags.DEFINE_enum(
    "judge", judges.PYCOCOTOOLS, judges.JUDGES, "The program that scores; both give the same figures."
)
PROPOSALS = flags.DEFINE_string("proposals", "", "Stored proposals (.npz), for a model without an RPN.")
AUGMENTATION, TILING = define_augmentation(), define_tiling()


def main(_):
    """Evaluates; a wrong argument ends in one line."""
    if not all(count.strip().isdigit() for count in MAX_DETS.value):
        raise SystemExit(f"evaluate: max_dets is {','.join(MAX_DETS.value)}; allowed: numbers such as 1,10,100.")
    max_dets = tuple(int(count) for count in MAX_DETS.value) or None
    try:
        sigmas = [float(sigma) for sigma in SIGMAS.value] or None
    except ValueError:
        message = f"keypoint_sigmas is {','.join(SIGMAS.value)}; allowed: a number a keypoint, such as 0.05,0.1."
        raise SystemExit(f"evaluate: {message}") from None
    for path in filter(None, (OUTPUT.value, RESULTS.value, REPORT.value)):
        check_output(path)
    try:
        augmentation, tiling, model = AUGMENTATION(), TILING(), files.load_model(MODEL.value)
        predict = mask_rcnn_tf.make_predictor(model, augmentation)
        scored = metrics, results, failures = files.evaluate_files(
            predict,
            ANNOTATIONS.value,
            IMAGES.value,
            model.config,
            max_dets,
            sigmas=sigmas,
            proposals=PROPOSALS.value,
            tiling=tiling,
            judge=JUDGE.value,
        )
    except ValueError as error:
        raise SystemExit(f"evaluate: {error}") from None
    evaluation.write_json(metrics, OUTPUT.value)
    if RESULTS.value:
        evaluation.write_json(results, RESULTS.value)
    print("\n".join(filter(None, [evaluation.format_table(metrics), evaluation.format_classes(metrics)])))
    if REPORT.value:
        names = {"model": MODEL, "annotations": ANNOTATIONS, "images": IMAGES, "output": OUTPUT, "results": RESULTS}
        paths = {name: flag.value for name, flag in names.items()}
        facts = report.of_files(scored, model.config, paths, REPORT.value, max_dets)
        print("\n".join([*report.write(facts, pathlib.Path(REPORT.value)), f"report: {REPORT.value}"]))
    if "segm" not in metrics and model.config.has_classes:
        print("Masks are not scored: the model has no mask head, or the annotations have no masks.")
    if failures:
        raise SystemExit(f"evaluate: {files.partial_score(failures)}")


if __name__ == "__main__":
    run(main)
