"""Compares variants of a small model over several seeds, as a table of the paper does; one command a table.

    python tools/experiments.py --table=roi_operator

Runs are in --output/TABLE, a folder each; there too are runs.jsonl, table.md and table.png, written anew after every
run. Stopped, the same command goes on; what is finished is not run again. Data of your own, and any other field, by
--config mask_rcnn_tables --config.data.dataset=coco_json --config.data.train_annotations=... and so on.
"""

from absl import flags

from mask_rcnn_tf.experiments.runs import run_table
from mask_rcnn_tf.experiments.tables import TABLES
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training import flags as tool_flags

CONFIG = tool_flags.define_config()
TABLE = flags.DEFINE_enum("table", None, list(TABLES), "What is compared.", required=True)
OUTPUT = flags.DEFINE_string("output", "runs/tables", "Folder of all tables.")
SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each variant.", lower_bound=1)


def main(_):
    """Runs what is not run yet, and prints the table."""
    config = CONFIG.value if flags.FLAGS["config"].present else load_config("mask_rcnn_tables")
    print(run_table(config, TABLE.value, TABLES[TABLE.value], OUTPUT.value, SEEDS.value))


if __name__ == "__main__":
    tool_flags.run(main, config_required=False)
