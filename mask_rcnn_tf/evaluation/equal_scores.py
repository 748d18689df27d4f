"""Whether a model gives nearly everything that it finds the same score, which no loss says."""

import collections
from collections.abc import Sequence

FEWEST = 100  # results a class, below which equal scores may be chance
SHARE = 0.9  # of the results with one score a class: a few RoIs may still wake a unit
SURE = 0.99  # float32 gives 1.0 to everything that a very good model is sure of


def note(results: Sequence[dict]) -> str:
    """What is to be said of the scores of a model's results; "" where they tell objects apart.

    Too large a learning rate can kill every unit of the box head's last layer. All RoIs then have one vector of class
    scores: objects are still found, the losses are finite, and AP, which ranks results by their scores, is near 0.

    Args:
      results: COCO results of a model, of all images.
    """
    counts = collections.Counter((result["category_id"], result["score"]) for result in results)
    common = {}  # of each class the score that most of its results have
    for (category, score), count in counts.most_common():
        common.setdefault(category, (score, count))
    alike = sum(count for score, count in common.values() if score < SURE)
    if not common or len(results) < FEWEST * len(common) or alike < SHARE * len(results):
        return ""
    shown = ", ".join(f"{score:.4g}" for score in sorted({score for score, _ in common.values()}))
    return (
        f"{alike} of {len(results)} results have the same score for their class ({shown}): the box head does not tell "
        "objects apart, and AP says nothing. A lower config.train.learning_rate or more warmup_steps help, in a new "
        "run."
    )
