"""Mask R-CNN, ResNet-50-FPN, as Detectron2's zoo has it: `mask_rcnn_R_50_FPN_3x` and `_1x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_f10217.pkl --output r50.keras

The zoo's val2017 box/mask AP: 41.0/37.2 (3x), 38.6/35.2 (1x); Faster R-CNN, the same without masks, 40.2 and 37.9. Not
`mask_rcnn_r50_fpn`: RoIAlign's grid is adaptive (POOLER_SAMPLING_RATIO 0), where ours has two samples a bin and axis;
and the schedule is the zoo's 3x. The weights are CC BY-SA 3.0.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` with adaptive RoIAlign and the 3x schedule; 1x has 90k steps, decays at 60k and 80k."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "detectron2_mask_rcnn_r50_fpn"
    config.model.roi.sampling_ratio = 0
    config.train.steps, config.train.decay_steps = 270_000, (210_000, 250_000)
    return config
