"""Models of `keras.applications` that may be backbones, with the pixels that they take.

Inception, NASNet and Xception are not among them: their maps have no sides of ceil(side / stride).
"""

Pixels = tuple[str, float, tuple[float, float, float], tuple[float, float, float]]  # order, scale, mean, std

# Source: `keras/src/applications/imagenet_utils.py`, `preprocess_input` of each family.
LEVELS: Pixels = ("RGB", 1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # as they are: the network scales them itself
TORCH: Pixels = ("RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CAFFE: Pixels = ("BGR", 1.0, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0))
SYMMETRIC: Pixels = ("RGB", 1 / 127.5, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))  # from -1 to 1

APPLICATIONS: dict[str, Pixels] = {
    **{f"ConvNeXt{size}": LEVELS for size in ("Tiny", "Small", "Base", "Large", "XLarge")},
    **{f"DenseNet{depth}": TORCH for depth in (121, 169, 201)},
    **{f"EfficientNetB{i}": LEVELS for i in range(8)},
    **{f"EfficientNetV2{size}": LEVELS for size in ("B0", "B1", "B2", "B3", "S", "M", "L")},
    **{name: SYMMETRIC for name in ("MobileNet", "MobileNetV2")},
    **{f"MobileNetV3{size}": LEVELS for size in ("Small", "Large")},
    **{f"ResNet{depth}": CAFFE for depth in (50, 101, 152)},
    **{f"ResNet{depth}V2": SYMMETRIC for depth in (50, 101, 152)},
    **{f"VGG{depth}": CAFFE for depth in (16, 19)},
}
