"""`python -m mask_rcnn_tf COMMAND`, where the folder of `mrcnn` is not on the PATH."""

from mask_rcnn_tf.command import main

if __name__ == "__main__":
    main()
