"""Mask R-CNN, ResNet-50-C4, as Detectron2's zoo has it: `mask_rcnn_R_50_C4_3x` and `_1x`; heads on C4, C5 on each RoI.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_4ce675.pkl --output r50_c4.keras

The zoo's val2017 box/mask AP: 39.8/34.4 (3x), 36.8/32.2 (1x). Not `mask_rcnn_r50_c4`: RoIAlign's grid is adaptive, the
heads train on 512 RoIs an image and read 1000 proposals, and the schedule is 3x. The weights are CC BY-SA 3.0.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_c4

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_c4` with adaptive RoIAlign, Detectron2's numbers of RoIs and the 3x schedule."""
    config = mask_rcnn_r50_c4.get_config()
    config.name = "detectron2_mask_rcnn_r50_c4"
    config.model.roi.sampling_ratio, config.model.roi.samples = 0, 512
    config.model.rpn.post_nms_top_n_test = 1000
    config.train.steps, config.train.decay_steps = 270_000, (210_000, 250_000)
    return config
