"""Mask R-CNN, ResNet-101-FPN, for matterport's `mask_rcnn_coco.h5`: a starting point for training on other data.

    python tools/import_weights.py --from matterport --checkpoint mask_rcnn_coco.h5 --output matterport.keras
    python tools/train.py --config matterport_mask_rcnn_r101_fpn --model_dir runs/mine \
        --config.train.init_from=matterport.keras --config.model.num_classes=3 \
        --config.train.batch_size=2 --config.train.steps=5000 --config.train.decay_steps='(3500, 4500)' \
        --config.data.train_annotations=train.json --config.data.train_images=images \
        --config.data.val_annotations=val.json --config.data.val_images=images

After a ResNet-50 file add `--config.model.backbone.stage_blocks='(3, 4, 6, 3)'`.

Equal outputs are not claimed. Theirs has a stem whose max-pool pads on one side ("SAME"), pools RoIs by one sample a
bin (`crop_and_resize`), normalises anchors and boxes by (side - 1), and letterboxes every image into a square of 1024
pixels; ours keeps Detectron2's way in all four. Fine-tuning absorbs the difference. Not scored here.
"""

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """What the weights depend on is theirs, with their NMS and proposals; the training recipe is ours."""
    return c.Config(
        name="matterport_mask_rcnn_r101_fpn",
        model=c.ModelConfig(
            preprocess=c.PreprocessConfig(
                max_side=1024, antialias=False, channel_order="RGB", mean=(123.7, 116.8, 103.9)
            ),
            backbone=c.BackboneConfig(stage_blocks=(3, 4, 23, 3), norm_epsilon=1e-3),
            rpn=c.RpnConfig(channels=512, post_nms_top_n_train=2000),
            # They round 4 + log2(side / 224) where we take the floor: the same with sides smaller by sqrt(2).
            roi=c.RoiConfig(canonical_size=224 / 2**0.5),
            detection=c.DetectionConfig(nms_iou=0.3),
        ),
        data=c.DataConfig(canvases=((800, 1024), (1024, 800))),
    )
