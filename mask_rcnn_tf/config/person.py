"""The 17 keypoints of COCO's persons, as its annotation files and the references' models have them.

Source: `person_keypoints_val2017.json`, categories.
"""

from mask_rcnn_tf.config.heads import KeypointHeadConfig

SIDES = ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
NAMES = ("nose", *(f"{side}_{part}" for part in SIDES for side in ("left", "right")))
# fmt: off
SKELETON = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)
# fmt: on


def person_keypoints() -> KeypointHeadConfig:
    """The section of a keypoint head for persons."""
    pairs = tuple((index, index + 1) for index in range(1, len(NAMES), 2))
    return KeypointHeadConfig(enabled=True, names=NAMES, skeleton=SKELETON, flip_pairs=pairs)
