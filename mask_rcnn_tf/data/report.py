"""What was found in an annotation file and its images: the counts, and every record that was left out."""

import collections
import dataclasses

from mask_rcnn_tf.coco.errors import BadRecord

NAMED = 5  # records of one kind that the log names


@dataclasses.dataclass
class Report:
    """Counts of one annotation file. `used_images` and `used_annotations` are what is left to train on or score."""

    annotations_file: str = ""
    images: int = 0  # in the file
    annotations: int = 0  # in the file
    used_images: int = 0
    used_annotations: int = 0
    crowd: int = 0  # left out of records, kept in `ground_truth`
    without_mask: int = 0  # used annotations that have a box only
    on_bad_images: int = 0  # annotations lost because their image was left out
    per_category: dict[int, int] = dataclasses.field(default_factory=dict)  # category id -> used annotations
    per_image: dict[int, int] = dataclasses.field(default_factory=dict)  # used annotations -> images with as many
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)  # COCO's small, medium, large -> used annotations
    image_sides: dict[str, int] = dataclasses.field(default_factory=dict)  # smallest and largest side of used images
    pictures: dict[str, int] = dataclasses.field(default_factory=dict)  # of used images, see `coco.pictures`
    bad: list[BadRecord] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)  # what was mended or is odd, see `coco.gate`
    contradictions: list[str] = dataclasses.field(default_factory=list)  # why the file as a whole is of no use

    @property
    def empty(self) -> int:
        """Used images without a usable annotation (negatives)."""
        return self.per_image.get(0, 0)

    @property
    def unusable(self) -> list[str]:
        """Why nothing of the file can be used; [] where something can."""
        left = "image" if not self.used_images else "annotation"
        nothing = [] if self.used_annotations else [f"there is no usable {left}"]
        return self.contradictions or nothing

    def images_above(self, max_gt: int) -> int:
        """Images with more than `max_gt` annotations, whose surplus the transforms drop."""
        return sum(images for annotations, images in self.per_image.items() if annotations > max_gt)

    def add_image(self, height: int, width: int, category_ids: list[int], areas: list[float]):
        """Counts an image that is used.

        Args:
          height: pixels.
          width: pixels.
          category_ids: one for each used annotation.
          areas: as many areas, in square pixels.
        """
        self.used_images += 1
        self.used_annotations += len(category_ids)
        self.per_image[len(category_ids)] = self.per_image.get(len(category_ids), 0) + 1
        for category_id in category_ids:
            self.per_category[category_id] = self.per_category.get(category_id, 0) + 1
        for area in areas:
            size = "small" if area < 32**2 else "medium" if area < 96**2 else "large"
            self.sizes[size] = self.sizes.get(size, 0) + 1
        sides = self.image_sides
        sides["smallest"] = min(sides.get("smallest", height), height, width)
        sides["largest"] = max(sides.get("largest", height), height, width)

    def table(self, max_gt: int, skip_empty: bool = False) -> str:
        """A few lines for the log; bad records are grouped by reason, with the first of each.

        Args:
          max_gt: instances an image may have.
          skip_empty: whether images without annotations are left out of the dataset.

        Returns:
          The lines, joined.
        """
        bad_images = sum(record.annotation_id is None for record in self.bad)
        left_out = ", left out (config.data.skip_empty)" if skip_empty and self.empty else ""
        lines = [
            f"{self.annotations_file}",
            f"  images       {self.used_images:>8} used of {self.images}; {bad_images} bad; "
            f"{self.empty} without annotations{left_out}",
            f"  annotations  {self.used_annotations:>8} used of {self.annotations}; {self.crowd} crowd left out; "
            f"{len(self.bad) - bad_images} bad; {self.on_bad_images} on bad images; {self.without_mask} without mask",
        ]
        if self.images_above(max_gt):
            lines.append(
                f"  {self.images_above(max_gt)} images have more than {max_gt} annotations; the surplus is dropped"
            )
        return "\n".join([*lines, *(f"  {note}" for note in self.notes), *self._grouped()])

    def _grouped(self) -> list[str]:
        groups = collections.defaultdict(list)
        for record in self.bad:
            groups[record.kind].append(record)
        return [
            f"  bad: {len(records)} x {kind}, first {records[0]}{_others(records)}" for kind, records in groups.items()
        ]

    def to_json(self) -> dict:
        """Itself as JSON types (keys become strings when written)."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> "Report":
        """The inverse of `to_json`, also after the keys became strings."""
        report = cls(**values)
        report.per_category = {int(key): count for key, count in report.per_category.items()}
        report.per_image = {int(key): count for key, count in report.per_image.items()}
        report.bad = [BadRecord(**record) for record in report.bad]
        return report


def _others(records: list[BadRecord]) -> str:
    """The records after the first, by their ids."""
    ids = [record.image_id if record.annotation_id is None else record.annotation_id for record in records[1:]]
    more = ", ..." if len(ids) > NAMED else ""
    return f"; then {', '.join(f'{value!r:.20}' for value in ids[:NAMED])}{more}" if ids else ""
