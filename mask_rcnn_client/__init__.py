"""What a client of an exported model needs besides its runtime: objects with names, scores and masks. NumPy alone.

It is installed with `mask_rcnn_tf`, whose own results are built on it, and may be copied by itself to where there is no
TensorFlow.
"""

from mask_rcnn_client.detections import Detection, Detections
from mask_rcnn_client.legend import Legend, make_legend, read_legend
from mask_rcnn_client.outputs import from_image, from_outputs, unpad
from mask_rcnn_client.pasting import paste_bitmap, paste_mask

__all__ = [
    "Detection",
    "Detections",
    "Legend",
    "from_image",
    "from_outputs",
    "make_legend",
    "paste_bitmap",
    "paste_mask",
    "read_legend",
    "unpad",
]
