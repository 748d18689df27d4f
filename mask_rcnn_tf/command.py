"""`mrcnn COMMAND`: the programs of tools/ by short names, wherever the package is installed."""

import ast
import difflib
import importlib.util
import pathlib
import re
import runpy
import sys

COMMANDS = {  # file of tools/, which is mask_rcnn_tf.tools once installed; in the order of use
    "convert": "convert",
    "split": "split",
    "check": "check_data",
    "suggest": "suggest",
    "train": "train",
    "evaluate": "evaluate",
    "predict": "predict",
    "raster": "predict_raster",
    "video": "predict_video",
    "export": "export",
    "compare-exports": "compare_exports",
    "import": "import_weights",
    "export-weights": "export_weights",
    "compare-results": "compare_results",
    "distill": "distill",
    "proposals": "write_proposals",
    "folds": "train_folds",
    "four-steps": "train_four_steps",
    "experiments": "experiments",
    "benchmark": "benchmark",
    "shapes": "write_shapes",
    "cityscapes": "convert_cityscapes",
    "cache": "data_cache",
}
PACKAGE = "mask_rcnn_tf.tools"


def main():
    """Runs the command that `sys.argv` names; its own flags follow.

    Exit status: 2 for another name; else that of the tool.
    """
    name = sys.argv[1] if len(sys.argv) > 1 else "help"
    if name in ("help", "--help", "-h", "--helpfull"):
        print(overview())
    elif name == "--version":
        print(f"mrcnn {sys.modules[__package__].__version__}")
    elif name not in COMMANDS:
        near = "".join(f" Did you mean {key!r}?" for key in difflib.get_close_matches(name, COMMANDS, 1))
        print(f"mrcnn: {name!r:.100} is no command; allowed: {', '.join(COMMANDS)}.{near}", file=sys.stderr)
        sys.exit(2)
    else:
        del sys.argv[1]
        runpy.run_module(f"{PACKAGE}.{COMMANDS[name]}", run_name="__main__", alter_sys=True)


def overview() -> str:
    """The commands and what each is for: the first line of the tool's docstring."""
    (folder,) = importlib.util.find_spec(PACKAGE).submodule_search_locations
    width = max(map(len, COMMANDS))
    lines = ["mrcnn COMMAND --flag=value ...: Mask R-CNN for TensorFlow and Keras.", ""]
    for name, tool in COMMANDS.items():
        about = ast.get_docstring(ast.parse((pathlib.Path(folder) / f"{tool}.py").read_text()))
        lines.append(f"  {name:{width}}  {about.splitlines()[0]}")
    return "\n".join([*lines, "", "mrcnn COMMAND --help names its flags."])


def in_its_words(text: str) -> str:
    """A tool's docstring as who runs it by `mrcnn` would write it: `python tools/check_data.py` is `mrcnn check`."""
    names = {tool: name for name, tool in COMMANDS.items()}
    named = re.sub(r"python tools/(\w+)\.py", lambda match: f"mrcnn {names[match[1]]}", text)
    return re.sub(r"\btools/(\w+)\.py", lambda match: f"mrcnn {names[match[1]]}", named)
