"""Times ours beside its peers on this machine, in turns, and writes JSON lines.

    python -m venv tv && tv/bin/pip install torch==2.14.1 torchvision==0.29.1 pycocotools
    python benchmarks/cpu/run.py --table inference --output runs/benchmarks --torch_python tv/bin/python
    python benchmarks/cpu/run.py --table runtimes --output runs/benchmarks --openvino_python ov/bin/python
    python benchmarks/cpu/page.py runs/benchmarks --output runs/benchmarks

A peer whose Python is not given is left out. Every contestant of a row is a process of its own, set up before the
first round; in each round every one runs once. A line has the seconds and CPU seconds of every round, so that a ratio
is one of figures that were taken one after the other, and CPU use tells whether a program had the cores that it wanted.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from tables import TABLES, Peers  # noqa: E402
from turns import machine, take_turns  # noqa: E402


def main():
    """Runs one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", choices=TABLES, required=True)
    parser.add_argument("--rows", default="", help="run only rows whose name has this in it")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--torch_python", default="", help="Python with torch and torchvision")
    parser.add_argument("--openvino_python", default="", help="Python with openvino and numpy")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/benchmarks"), help="a folder")
    args = parser.parse_args()
    peers = Peers(args.torch_python, args.openvino_python)
    rows = [row for row in TABLES[args.table].rows(peers, args.output) if args.rows in row.name]
    if not rows:
        parser.error(f"--rows {args.rows} is in no row's name.")
    for row in rows:
        print(f"{args.table}: {row.name}", file=sys.stderr, flush=True)
        args.output.mkdir(parents=True, exist_ok=True)
        for path, command in row.files.items():
            if not path.exists() and subprocess.run(list(map(str, command)), check=False).returncode:
                raise RuntimeError(f"{path} was not written; the messages before this say why.")
        lines = take_turns(row.contestants, args.rounds, args.output / "logs")
        common = {"table": args.table, "row": row.name} | machine()
        with open(args.output / f"{args.table}.jsonl", "a") as file:
            for line in lines:
                text = json.dumps(common | line)
                print(text, flush=True)
                print(text, file=file)


if __name__ == "__main__":
    os.environ["PYTHONUNBUFFERED"] = "1"
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"run: {error}")
