"""Cascade Mask R-CNN, ResNet-50-FPN, as Detectron2's zoo has it: `Misc/cascade_mask_rcnn_R_50_FPN_3x` and `_1x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_480dd8.pkl --output cascade.keras

The zoo's val2017 box/mask AP: 44.3/38.5 (3x), 42.1/36.4 (1x). Not `cascade_mask_rcnn_r50_fpn`: RoIAlign's grid is
adaptive, where ours has two samples a bin and axis; and the schedule is the zoo's 3x. The weights are CC BY-SA 3.0.
"""

from mask_rcnn_tf.configs import cascade_mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`cascade_mask_rcnn_r50_fpn` with adaptive RoIAlign and the 3x schedule; 1x has 90k steps, 60k and 80k decays."""
    config = cascade_mask_rcnn_r50_fpn.get_config()
    config.name = "detectron2_cascade_mask_rcnn_r50_fpn"
    config.model.roi.sampling_ratio = 0
    config.train.steps, config.train.decay_steps = 270_000, (210_000, 250_000)
    return config
