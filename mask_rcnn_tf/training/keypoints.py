"""What a run takes of the keypoints of its data."""

import dataclasses

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import sources

PERSON = 17  # keypoints, for which pycocotools has sigmas


def resolve_keypoints(config: Config):
    """Gives the model's keypoint head what the data says: how many, their names, what joins and what mirrors them.

    `data.keypoint_flip_pairs` and `data.keypoint_sigmas` come first, where they are set.

    Args:
      config: `Config`, changed in place; nothing happens without a keypoint head.

    Raises:
      ValueError: the data has no keypoints, or nothing says by which sigmas they are scored.
    """
    if not config.model.has_keypoints:
        return
    data, head, found = config.data, config.model.keypoint_head, sources.keypoints(config)
    if not found.count:
        raise ValueError(
            "config.model.keypoint_head.enabled is True, and the data has no keypoints; allowed: False, or annotations "
            "with 'keypoints'."
        )
    own = head if head.num_keypoints == found.count else type(head)(num_keypoints=found.count)
    sigmas = data.keypoint_sigmas or found.sigmas or own.sigmas
    if len(sigmas) != found.count and (sigmas or found.count != PERSON):
        raise ValueError(
            f"config.data.keypoint_sigmas is {data.keypoint_sigmas}; allowed: {found.count} numbers, one a keypoint: "
            "how far people's labels of it scatter, as a share of the object's size (0.05 is a usual start)."
        )
    config.model.keypoint_head = dataclasses.replace(
        head,
        num_keypoints=found.count,
        names=found.names or own.names,
        skeleton=found.skeleton or own.skeleton,
        flip_pairs=data.keypoint_flip_pairs or found.flip_pairs or own.flip_pairs,
        sigmas=sigmas,
    )
