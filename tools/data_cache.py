"""Lists the data sets that training prepared, and removes those that nothing will read any more.

    python tools/data_cache.py --data_dir runs/data
    python tools/data_cache.py --data_dir runs/data --remove stale
    python tools/data_cache.py --data_dir runs/data --remove coco_json/train_0123456789abcdef0123/1.1.0

Stale are sets whose annotation file or images are gone from where they were last used or have changed, sets of older
versions, and what an interrupted preparation left. Sets that a run prepares or reads now
stay: removing them is refused until it ends.
"""

from absl import flags

from mask_rcnn_tf.data import prepared
from mask_rcnn_tf.training.flags import run

DATA_DIR = flags.DEFINE_string("data_dir", "", "Folder of the sets (config.data.data_dir); '' is TFDS's default.")
REMOVE = flags.DEFINE_list("remove", [], "'stale', or names of the list, separated by commas.")


def main(_):
    """Lists, or removes and lists what was removed."""
    sets = prepared.remove(DATA_DIR.value, REMOVE.value) if REMOVE.value else prepared.prepared_sets(DATA_DIR.value)
    if REMOVE.value:
        print("removed:")
    print(prepared.table(sets))


if __name__ == "__main__":
    run(main)
