"""Pure tensor functions: boxes, anchors, matching, sampling, NMS, RoIAlign, masks and images. No layer, no config."""
