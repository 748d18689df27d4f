"""Operations of `ops.kernels` by the name of their set, as the tests of each operation call them."""

from mask_rcnn_tf.ops import images
from mask_rcnn_tf.ops.kernels import get_kernels
from mask_rcnn_tf.ops.roi_regions import RoiAlignOptions


def nms(boxes, scores, max_outputs, iou_threshold, kernels):
    return get_kernels(kernels).nms(boxes, scores, max_outputs, iou_threshold)


def class_nms(boxes, scores, max_detections, iou_threshold, score_threshold, kernels, max_candidates):
    return get_kernels(kernels).class_nms(boxes, scores, max_detections, iou_threshold, score_threshold, max_candidates)


def resize(image, shape, antialias, round_resized, kernels="native"):
    return images.resize(image, shape, antialias, round_resized, get_kernels(kernels).resize)


def roi_align(
    features,
    strides,
    rois,
    batch_indices,
    level_indices,
    output_size,
    sampling_ratio,
    aligned,
    kernels,
    max_sampling=8,
    **options,
):
    form = get_kernels(kernels).roi_align
    size = (output_size, output_size) if isinstance(output_size, int) else output_size
    given = RoiAlignOptions(tuple(strides), sampling_ratio, aligned, max_sampling, **options)
    return form.pool(form.prepare(features), rois, batch_indices, level_indices, size, given)


def canvas_frame_targets(gt_masks, image_shape, rois, batch_indices, gt_indices, size, kernels):
    return get_kernels(kernels).canvas_targets(gt_masks, image_shape, rois, batch_indices, gt_indices, size)
