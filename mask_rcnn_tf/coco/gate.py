"""The one gate: every annotation of a file goes through it before pycocotools or a network sees it.

It holds the judge's verdicts on single rows, and what only a whole file shows: rows that are there twice, areas unlike
the masks', boxes of another form.
"""

import collections
import dataclasses
import os
from collections.abc import Iterator, Sequence

from mask_rcnn_tf.coco import categories, rle
from mask_rcnn_tf.coco.boxes import judge_boxes
from mask_rcnn_tf.coco.errors import BadRecord, Rejected
from mask_rcnn_tf.coco.judge import Instance, is_area, is_crowd, judge

NEAR_AREA = 20.0  # square pixels that a stated area may differ from the mask's whatever their ratio
CVAT = "CVAT writes every brush mask with iscrowd 1: set it to 0 where a row is one object"


@dataclasses.dataclass
class Gate:
    """What was found in the annotations of a file so far.

    Args:
      coco: a COCO-format dict whose structure was checked.
      num_keypoints: J; None leaves keypoints unread.
      need_mask: whether a box alone is not enough.
      is_scored: whether annotations are scored: masks and boxes without area then count as not found.
    """

    coco: dict
    num_keypoints: int | None = None
    need_mask: bool = False
    is_scored: bool = False

    def __post_init__(self):
        self.images = {image["id"]: image for image in self.coco["images"]}
        self.known = set(categories.table(self.coco)[0])
        self.verdict = judge_boxes(self.coco)
        self.bad: list[BadRecord] = []
        self.repairs: collections.Counter = collections.Counter()
        self.crowd = self.doubled = self.with_area = self.unlike_area = self.admitted = 0
        self._seen: set[int] = set()

    def is_owned(self, row: dict) -> bool:
        """Whether an annotation's image and category are known; if not, that is noted."""
        if row["image_id"] not in self.images:
            error = Rejected("annotation of an unknown image", f"image_id {row['image_id']}")
        elif row["category_id"] not in self.known:
            allowed = f"{sorted(self.known)}"[:200]
            error = Rejected("unknown category id", f"{row['category_id']}; allowed: {allowed}")
        else:
            return True
        self.reject(error, row)
        return False

    def admit(self, row: dict) -> Instance | None:
        """What an annotation of a known image says; None where it cannot be used, which is noted."""
        try:
            # Crowds are no examples: of them training asks only that scoring could read them.
            as_example = self.is_scored or not is_crowd(row)
            instance = judge(
                row,
                self.images[row["image_id"]],
                num_keypoints=self.num_keypoints if as_example else None,
                need_mask=self.need_mask and as_example,
                may_be_empty=self.is_scored or not as_example,
                form=self.verdict.form,
            )
        except Rejected as error:
            self.reject(error, row)
            return None
        self._note(row, instance)
        return instance

    def reject(self, error: Rejected, row: dict):
        """Notes that an annotation cannot be used."""
        name = self.images.get(row["image_id"], {}).get("file_name", "")
        self.bad.append(BadRecord(error.kind, error.detail, row["image_id"], row.get("id", -1), name))

    def _note(self, row: dict, instance: Instance):
        self.repairs.update(instance.repairs)
        self.admitted += 1
        self.crowd += instance.is_crowd
        keypoints = b"" if instance.keypoints is None else instance.keypoints.tobytes()
        said = (row["image_id"], row["category_id"], instance.box.tobytes(), instance.runs.tobytes(), keypoints)
        self.doubled += hash(said) in self._seen
        self._seen.add(hash(said))
        area = row.get("area")
        if is_area(area) and len(instance.runs) and not instance.is_crowd:
            covered = rle.area(instance.runs)
            self.with_area += 1
            self.unlike_area += abs(area - covered) > NEAR_AREA and not covered / 2 <= area <= 2 * covered

    def notes(self) -> list[str]:
        """What is odd about the file and has been dealt with, or should be looked at; a line each."""
        lines = [f"repaired: {count} x {kind}" for kind, count in self.repairs.items()]
        lines += [f"warning: {self.verdict.note}"] * bool(self.verdict.note)
        if self.doubled:
            lines.append(f"warning: {self.doubled} annotations are exact doubles of others")
        if self.unlike_area:
            rows = f"{self.unlike_area} of {self.with_area}"
            lines.append(f"warning: area is unlike the mask's in {rows} annotations; APs, APm, APl will be wrong")
        return [*lines, *_of_tables(self.coco)]

    def contradictions(self) -> list[str]:
        """Why the file as a whole cannot be used; known from the start, and after all rows."""
        shifted = _shifted_ids(self.coco, self.known)
        found = [self.verdict.contradiction] * bool(self.verdict.contradiction) + [shifted] * bool(shifted)
        if self.admitted and self.crowd == self.admitted:
            rows = f"all {self.crowd} usable annotations are crowds (iscrowd 1)"
            found.append(f"{rows}, which are neither trained on nor scored; {CVAT}")
        return found


def _of_tables(coco: dict) -> Iterator[str]:
    files = collections.Counter(os.path.normpath(str(image.get("file_name", ""))) for image in coco["images"])
    shared = {name: count for name, count in files.items() if count > 1 and name != "."}
    if shared:
        yield (
            f"warning: {sum(shared.values())} images are only {len(shared)} files (first: {next(iter(shared))!r:.80}); "
            "each entry takes the objects of the others for background"
        )
    yield from categories.notes(coco)


def _shifted_ids(coco: dict, known: set[int]) -> str:
    """Whether category ids count from another number than the table's, as 0-based rows beside a 1-based table."""
    used = {row["category_id"] for row in coco["annotations"]}
    for shift in (1, -1):
        if used and not used <= known and {value + shift for value in used} <= known:
            return (
                f"annotations have category ids {min(used)} to {max(used)}, the table of categories {min(known)} to "
                f"{max(known)}: one of them may count from 0; allowed: the same ids"
            )
    return ""


def refusal(where: str, contradictions: Sequence[str]) -> str:
    """The message about a file that contradicts itself."""
    return f"{where}: {'; '.join(contradictions)}."
