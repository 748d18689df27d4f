"""Fast R-CNN on stored proposals, ResNet-50-FPN, as Detectron2's zoo has it: `fast_rcnn_R_50_FPN_1x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_e5f7ce.pkl --output fast.keras
    python tools/write_proposals.py --model rpn.keras --annotations annotations/instances_val2017.json \
        --images val2017 --output val.npz
    python tools/evaluate.py --model fast.keras --proposals val.npz --annotations annotations/instances_val2017.json \
        --images val2017 --output fast.json

The zoo's val2017 box AP: 37.8, with the proposals of `rpn_R_50_FPN_1x`, which `rpn_r50_fpn` reads. Not
`fast_rcnn_r50_fpn`: RoIAlign's grid is adaptive. The weights are CC BY-SA 3.0.
"""

from mask_rcnn_tf.configs import fast_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`fast_rcnn_r50_fpn` with adaptive RoIAlign."""
    config = fast_rcnn_r50_fpn.get_config()
    config.name, config.model.roi.sampling_ratio = "detectron2_fast_rcnn_r50_fpn", 0
    return config
