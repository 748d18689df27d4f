"""The checkpoints of a folder: which are there, which are whole, and writing one more.

What is there is read from the names of the files; TensorFlow's own list, the file `checkpoint`, is written for others.
"""

import json
import logging
import os
import pathlib
import re
import shutil
from typing import Any

import tensorflow as tf

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.training import storage

LOG = logging.getLogger("mask_rcnn_tf")

KEPT = 3  # checkpoints
NOTE = "note"  # the name, in a checkpoint, of a JSON text of what is not a weight
_STORED = re.compile(r"step-(\d{1,18})\.(index|data-\d{5}-of-\d{5})")
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


class CheckpointFiles:
    """The checkpoints `step-<number>` of a folder.

    Args:
      folder: is made when the first one is written.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder = pathlib.Path(folder)

    def steps(self) -> list[int]:
        """Steps of which there is any file, whole or not, ascending."""
        names = [_STORED.fullmatch(path.name) for path in self.folder.glob("step-*")]
        return sorted({int(name.group(1)) for name in names if name})

    def prefix(self, step: int) -> str:
        """The path that TensorFlow knows the checkpoint of `step` by."""
        return str(self.folder / f"step-{step}")

    @property
    def latest_checkpoint(self) -> str | None:
        """The newest one's path, whole or not; None if there is none."""
        steps = self.steps()
        return self.prefix(steps[-1]) if steps else None

    def newest_whole(self) -> str | None:
        """The newest checkpoint that can be read to the end; says which newer ones cannot.

        Returns:
          Its path, or None where there are no checkpoints.

        Raises:
          ValueError: there are, and none is whole.
        """
        damaged = []
        for step in reversed(self.steps()):
            problem = find_damage(self.prefix(step))
            if not problem:
                for line in damaged:
                    LOG.warning("checkpoint %s; the run continues from step-%d, the newest whole one", line, step)
                return self.prefix(step)
            damaged.append(f"{self.prefix(step)} is damaged ({problem})")
        if damaged and not self._is_unfinished():
            raise ValueError(
                f"{len(damaged)} checkpoints, none of which is whole: {'; '.join(damaged[:KEPT])}; allowed: a folder "
                "with a whole checkpoint, or a new one, which starts from step 0."
            )
        return None

    def _is_unfinished(self):
        """Whether a kill came while the first checkpoint was given its names; the index comes last."""
        steps = self.steps()
        return len(steps) == 1 and not pathlib.Path(f"{self.prefix(steps[0])}.index").exists()

    def write(self, checkpoint: tf.train.Checkpoint, step: int):
        """Writes a checkpoint, then removes old ones, and those of later steps, which the run has left behind.

        Raises:
          OSError: it could not be written; those before are untouched.
        """
        partial = self.folder / "partial"
        with storage.writing(self.prefix(step)):
            try:
                shutil.rmtree(partial, ignore_errors=True)
                partial.mkdir(parents=True)
                checkpoint.write(str(partial / "step"))
                self._put(partial, step)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        before = [other for other in self.steps() if other < step]
        for other in [*before[: max(0, len(before) + 1 - KEPT)], *(one for one in self.steps() if one > step)]:
            self._remove(other)
        self._write_list()

    def _put(self, partial, step):
        """Gives the files their names, the index last: without it there is no checkpoint."""
        self._remove(step)
        files = sorted(partial.glob("step.*"), key=lambda path: path.suffix == ".index")
        for path in files:
            whole_files.put(path, self.folder / path.name.replace("step", f"step-{step}", 1))

    def _remove(self, step):
        for path in sorted(self.folder.glob(f"step-{step}.*"), key=lambda path: path.suffix != ".index"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _write_list(self):
        names = [f'"step-{step}"' for step in self.steps()]
        lines = [f"model_checkpoint_path: {names[-1]}", *(f"all_model_checkpoint_paths: {name}" for name in names)]
        storage.write_atomically(self.folder / "checkpoint", "\n".join(lines) + "\n")


def find_damage(path: str) -> str:
    """Why a checkpoint cannot be read; "" if it can: every tensor is read, which compares its checksum.

    Args:
      path: without the files' endings.
    """
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    # TensorFlow turns some of its own errors into those of Python.
    except (tf.errors.OpError, ValueError, LookupError, RuntimeError, TypeError, OSError, MemoryError) as error:
        return storage.reason(error)
    return ""


def read_note(path: str) -> dict[str, Any]:
    """What a checkpoint says besides its weights; {} in those of older versions.

    Args:
      path: of a whole checkpoint.
    """
    reader = tf.train.load_checkpoint(path)
    if not reader.has_tensor(NOTE + _SUFFIX):
        return {}
    content = json.loads(reader.get_tensor(NOTE + _SUFFIX))
    return content if isinstance(content, dict) else {}
