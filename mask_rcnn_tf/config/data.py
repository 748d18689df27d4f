"""Sections of where examples come from."""

import dataclasses

from mask_rcnn_tf.fields import Section, field, section


@dataclasses.dataclass
class ShapesConfig(Section):
    """Synthetic scenes of `mask_rcnn_tf.data.shapes`."""

    size: int = field(192, above=0)  # scenes are square, pixels
    train_scenes: int = field(3000, above=0)  # images to train on
    val_scenes: int = field(200, above=0)  # images to score on
    min_objects: int = field(3, above=0)  # an image
    max_objects: int = field(8, above=0)  # an image
    min_side: int = field(16, above=0)  # pixels, longer side of an object
    max_side: int = field(96, above=0)  # pixels, longer side of an object
    num_keypoints: int = field(0, at_least=0)  # 0: no keypoints
    seed: int = field(0, at_least=0)  # of what is drawn
    # all shapes are of one class: finding and outlining them is learnt long before telling them apart
    one_class: bool = False


@dataclasses.dataclass
class DataConfig(Section):
    """Where examples come from and how they become batches."""

    # the files that are named below, or drawn scenes
    dataset: str = field("coco_json", one_of=("coco_json", "mrcnn_shapes"))
    train_annotations: str = ""  # COCO file to train on
    train_images: str = ""  # folder that its file_name are in
    val_annotations: str = ""  # COCO file to score on
    val_images: str = ""  # folder that its file_name are in
    # files of tools/write_proposals.py, where model.rpn.enabled is False; of an image the first post_nms_top_n_train or
    # _test of model.rpn are used
    train_proposals: str = ""
    val_proposals: str = ""  # the same for val_annotations
    data_dir: str = ""  # where prepared examples are cached; "" is TFDS's default
    shapes: ShapesConfig = section(ShapesConfig)
    # one is drawn for each image
    train_short_sides: tuple[int, ...] = field((640, 672, 704, 736, 768, 800), some=True, above=0)
    # (lowest, highest) of a scale that is drawn for each image, of the size that fits the one canvas, which is then
    # filled by a random crop, in place of train_short_sides; (): off. Large-scale jitter is (0.1, 2.0)
    scale_jitter: tuple[float, ...] = field((), above=0, at_most=10)
    # share of images on which objects of another image are pasted, each with probability 1/2; with scale_jitter
    copy_paste: float = field(0.0, at_least=0, at_most=1)
    # (H, W); the smallest that holds an image
    canvases: tuple[tuple[int, int], ...] = field(((800, 1344), (1344, 800)), some=True, at_least=32, multiple_of=32)
    flip_horizontal: bool = True  # mirror half of the images, left and right
    flip_vertical: bool = False  # turn half of the images upside down
    # turn images by 0, 90, 180 or 270 degrees, each as often
    right_angles: bool = False
    # turn half of the images by up to as many degrees, either way; their size stays, and corners that were outside are
    # as the rest of the canvas; 180: any angle
    rotation: float = field(0.0, at_least=0, at_most=180)
    # lowest share of the height and of the width that is cut out of an image, both drawn for each; 1: the whole
    crop: float = field(1.0, above=0, at_most=1)
    # share of an object's area that crop and rotation must leave for it to stay one
    min_visible: float = field(0.1, at_least=0, at_most=1)
    # the levels times a factor that is drawn from 1 - brightness to 1 + brightness; this and what follows up to
    # jpeg_quality is drawn for each image, 0 is off
    brightness: float = field(0.0, at_least=0, at_most=1)
    contrast: float = field(0.0, at_least=0, at_most=1)  # the same, of the distance from the image's mean
    saturation: float = field(0.0, at_least=0, at_most=1)  # the same, of the distance from the pixel's grey
    # highest share of a full turn of the circle of colours, either way
    hue: float = field(0.0, at_least=0, at_most=0.5)
    # levels, as shares of white, to a power from 1 / (1 + gamma) to 1 + gamma
    gamma: float = field(0.0, at_least=0, at_most=4)
    grey: float = field(0.0, at_least=0, at_most=1)  # share of images that lose their colours
    # highest standard deviation of a Gaussian that half of the images are blurred with, pixels of the network's input
    blur: float = field(0.0, at_least=0, at_most=20)
    # highest standard deviation of Gaussian noise that is added to half of the images, levels of 255
    noise: float = field(0.0, at_least=0, at_most=255)
    # lowest quality of a JPEG file that half of the images are stored in and read from again; 100: off
    jpeg_quality: int = field(100, at_least=1, at_most=100)
    max_gt: int = field(100, above=0)  # G; annotations above it are dropped and counted
    gt_mask_size: int = field(112, above=0)  # side of gt_masks in the box frame
    skip_empty: bool = True  # leave images without annotations out of training, counted
    # images of classes that are in a smaller share of the images come sqrt(threshold / share) times an epoch, in the
    # mean (LVIS's repeat factor: 0.001); 0: every image once
    repeat_threshold: float = field(0.0, at_least=0, at_most=1)
    shuffle_buffer: int = field(1000, above=0)  # encoded images among which the next is drawn
    cache: bool = False  # keep decoded examples in memory
    # pairs of keypoints, from 0, that change places when an image is mirrored; (): by the data's names
    keypoint_flip_pairs: tuple[tuple[int, int], ...] = field((), at_least=0)
    # in an image turned upside down, for keypoints that are places in it (its top), not parts of an object (a left
    # eye); (): keypoint_flip_pairs
    keypoint_vertical_pairs: tuple[tuple[int, int], ...] = field((), at_least=0)
    keypoint_sigmas: tuple[float, ...] = field((), above=0)  # of OKS, one a keypoint; (): by the data, or COCO's for 17
