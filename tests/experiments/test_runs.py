"""The runs of a table: each once, a stopped one goes on, and a table of what is done at any time."""

import json

import pytest

from mask_rcnn_tf.experiments import runs
from mask_rcnn_tf.experiments.tables import BOX, MASK, Table
from mask_rcnn_tf.presets import load_config

TABLE = Table(
    "views",
    {"plain": {}, "softer": {"model.mask_head.activation": "softmax"}, "seen": {"eval.max_dets": (1, 5, 50)}},
    figures=(MASK, BOX),
)


class Trainer:
    """In the place of `train`: writes metrics that tell the run, and notes what it was asked for."""

    def __init__(self, fails=None):
        self.calls, self.fails = [], fails or {}

    def __call__(self, config, place):
        before = sorted(path.name for path in place.iterdir()) if place.exists() else []
        self.calls.append((place.name, before))
        place.mkdir(parents=True, exist_ok=True)
        (place / "checkpoint").write_text(f"{config.model.mask_head.activation} {config.train.seed}")
        if place.name in self.fails:
            raise self.fails[place.name]
        value = 0.1 * config.train.seed + (config.model.mask_head.activation == "softmax")
        (place / "metrics.json").write_text(json.dumps({"segm": {"AP": value}, "bbox": {"AP": 0.5}}))


@pytest.fixture
def start(monkeypatch, tmp_path):
    """A function that runs the table with a trainer, and gives the trainer."""

    def run(name="views", seeds=2, fails=None, **fields):
        trainer, base = Trainer(fails), load_config("mask_rcnn_tables")
        for field, value in fields.items():
            setattr(base.train, field, value)
        monkeypatch.setattr(runs, "train", trainer)
        runs.run_table(base, name, TABLE, tmp_path, seeds)
        return trainer

    return run


def names(trainer):
    return [name for name, _ in trainer.calls]


def test_every_variant_with_every_seed_and_none_twice(start, tmp_path):
    first = start()
    assert names(first) == ["plain-0", "softer-0", "seen-0", "plain-1", "softer-1", "seen-1"]
    assert not start().calls and not start(checkpoint_every=7).calls
    assert names(start(seeds=3)) == ["plain-2", "softer-2", "seen-2"]
    text = (tmp_path / "views" / "table.md").read_text()
    assert "| plain | 3 | 0.100 ± 0.100 |" in text and "| softer | 3 | 1.100 ± 0.100 |" in text
    assert len((tmp_path / "views" / "runs.jsonl").read_text().splitlines()) == 9


def test_what_is_trained_alike_is_not_trained_again(start, tmp_path):
    """`seen` is scored otherwise than `plain`; another table's `plain` is the same in everything."""
    found = dict(start(seeds=1).calls)
    assert found["softer-0"] == [] and found["seen-0"] == ["checkpoint"]
    assert (tmp_path / "views" / "seen-0" / "checkpoint").read_text() == "sigmoid 0"
    assert names(start("others", seeds=1)) == []
    assert (tmp_path / "others" / "table.md").read_text() == (tmp_path / "views" / "table.md").read_text()
    assert names(start("third", seeds=1, batch_size=4)) == ["plain-0", "softer-0", "seen-0"]
    assert not list(tmp_path.glob("*/*.partial"))


def test_a_stopped_table_goes_on(start, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        start(fails={"softer-0": KeyboardInterrupt()})
    assert "| softer | 0 | not run |" in (tmp_path / "views" / "table.md").read_text()
    again = start()
    assert again.calls[0] == ("softer-0", ["checkpoint"]) and len(again.calls) == 5


def test_other_fields_are_another_run(start):
    """`train` is asked, which refuses or goes on; the old result counts for nothing."""
    start(seeds=1)
    assert names(start(seeds=1, steps=700)) == ["plain-0", "softer-0", "seen-0"]
    assert not start(seeds=1, steps=700).calls


def test_one_that_diverges_leaves_the_others(start, tmp_path):
    with pytest.raises(FloatingPointError, match="softer, seed 0: step 3: mask not finite"):
        start(fails={"softer-0": FloatingPointError("step 3: mask not finite")})
    text = (tmp_path / "views" / "table.md").read_text()
    assert "| plain | 2 |" in text and "| softer | 1 |" in text


def test_nothing_is_trained_where_a_variant_is_wrong(start, monkeypatch):
    monkeypatch.setitem(TABLE.variants, "wrong", {"model.roi.reduction": "sum"})
    with pytest.raises(ValueError, match="config.model.roi.reduction is 'sum'"):
        start()
    monkeypatch.setitem(TABLE.variants, "wrong", {"model.roi.operater": "pool"})
    with pytest.raises(AttributeError, match="operater"):
        start()
