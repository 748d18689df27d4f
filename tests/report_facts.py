"""A score with its facts, with names that try to break out of the page."""

import numpy as np
import tide_scenes

from mask_rcnn_tf import report
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.evaluation import coco_metrics
from mask_rcnn_tf.report import settings

LINES = [
    {"step": 100, "loss": 4.0, "mask": 1.5, "learning_rate": 0.02, "images_per_second": 3.0},
    {"step": 200, "loss": 2.0, "mask": 0.5, "learning_rate": 0.002, "images_per_second": 3.0},
    {"step": 200, "val_segm_AP": 0.25, "val_segm_AP50": 0.5, "val_segm_AR100": 0.3, "val_bbox_AP": 0.2},
]
ATTACKS = (
    "</script><script>document.title='run'</script>",
    '<img src="{address}/class" onerror="document.title=\'run\'">',
    "&lt;b&gt; \"quoted\" 'single' \u202e\x07 </svg></style>",
)


def pictures(image_ids):
    """A picture of each image but the second, which cannot be read."""
    for image_id in image_ids:
        values = np.add.outer(np.arange(tide_scenes.HEIGHT), np.arange(tide_scenes.WIDTH)) % 200
        yield image_id, "no such file" if image_id == 2 else np.stack([values] * 3, -1).astype(np.uint8)


def facts(address="http://attacker.example", results=None, truth=None, kinds=("bbox", "segm"), **options):
    """Of random annotations and results; `address` is where hostile names would lead."""
    scene = tide_scenes.scene(0, crowds=True)
    truth, results = truth or scene[0], scene[1] if results is None else results
    for category, name in zip(truth["categories"], ATTACKS, strict=False):
        category["name"] = name.format(address=address)
    for image in truth["images"][1:]:
        image["file_name"] = f'{image["id"]}"><script src={address}/file></script>.png'
    index = coco_metrics.load_truth(truth, kinds)
    given = {
        "title": f"run <script src={address}/title></script>",
        "about": "How the weights do.",
        "metrics": coco_metrics.score_truth(index, results, kinds),
        "truth": index,
        "results": results,
        "max_dets": 100,
        "read_images": pictures,
        "settings": settings.of_run(Config(name=f"<iframe src={address}/name>")),
        "files": [("model.keras", "the model"), (f"{address}/<x>", "somewhere else")],
        "lines": LINES,
        "training": report.TrainingData(7, 9, {"lob": 4}, {"small": 9}),
        "model": "runs/x/model.keras",
    }
    return report.Facts(**given | options)
