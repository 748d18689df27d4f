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


TRAINING = Table(
    "ways",
    {"together": {}, "apart": {}, "in_turns": {}},
    figures=(MASK, BOX),
    training={"apart": "separate", "in_turns": "four_steps"},
)


class Trainer:
    """In the place of `train`: writes metrics that tell the run, and notes what it was asked for."""

    def __init__(self, fails=None, gain=0.0):
        self.calls, self.fails, self.gain = [], fails or {}, gain

    def __call__(self, config, place):
        before = sorted(path.name for path in place.iterdir()) if place.exists() else []
        self.calls.append((place.name, before))
        place.mkdir(parents=True, exist_ok=True)
        (place / "checkpoint").write_text(f"{config.model.mask_head.activation} {config.train.seed}")
        if place.name in self.fails:
            raise self.fails[place.name]
        value = self.gain + 0.1 * config.train.seed + (config.model.mask_head.activation == "softmax")
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


def test_ways_of_training(monkeypatch, tmp_path):
    """One configuration trained in three ways is three runs, and none is taken for another."""
    ways = {"train": Trainer(), "train_separately": Trainer(gain=2), "train_four_steps": Trainer(gain=4)}
    for name, trainer in ways.items():
        monkeypatch.setattr(runs, name, trainer)
    for _ in range(2):  # the second time nothing is run
        runs.run_table(load_config("mask_rcnn_tables"), "ways", TRAINING, tmp_path, 1)
        assert [names(trainer) for trainer in ways.values()] == [["together-0"], ["apart-0"], ["in_turns-0"]]
    text = (tmp_path / "ways" / "table.md").read_text()
    assert all(f"| {row} |" in text for row in ("together | 1 | 0.000", "apart | 1 | 2.000", "in turns | 1 | 4.000"))
    runs.run_table(load_config("mask_rcnn_tables"), "again", TRAINING, tmp_path, 1)
    assert [len(trainer.calls) for trainer in ways.values()] == [1, 1, 1]
    assert (tmp_path / "again" / "table.md").read_text() == text


def test_what_was_trained_in_parts_is_trained_again_where_it_is_scored_otherwise(monkeypatch, tmp_path):
    trainer, base = Trainer(), load_config("mask_rcnn_tables")
    for name in ("train", "train_separately", "train_four_steps"):
        monkeypatch.setattr(runs, name, trainer)
    runs.run_table(base, "ways", TRAINING, tmp_path, 1)
    base.eval.max_dets = (1, 5, 50)
    runs.run_table(base, "others", TRAINING, tmp_path, 1)
    before = dict(trainer.calls[3:])
    assert before == {"together-0": ["checkpoint"], "apart-0": [], "in_turns-0": []}


def test_a_result_of_before_a_field_was_added_counts(start, tmp_path):
    """And one with a field that there is no more does not."""
    start(seeds=1)
    for path in tmp_path.glob("views/*/result.json"):
        stored = json.loads(path.read_text())
        assert stored["config"]["data"].pop("rotation") == 0.0
        path.write_text(json.dumps(stored))
    assert not start(seeds=1).calls and names(start("others", seeds=1)) == []
    path = tmp_path / "views" / "plain-0" / "result.json"
    stored = json.loads(path.read_text())
    stored["config"]["data"]["colours"] = 1
    path.write_text(json.dumps(stored))
    assert names(start(seeds=1)) == ["plain-0"]


def test_a_result_without_a_way_of_training_was_trained_end_to_end(start, tmp_path):
    start(seeds=1)
    for path in tmp_path.glob("views/*/result.json"):
        stored = json.loads(path.read_text())
        assert stored.pop("training") == "end_to_end"
        path.write_text(json.dumps(stored))
    assert not start(seeds=1).calls


def test_a_variant_whose_images_fit_no_canvas_is_refused_before_the_first_run(monkeypatch, tmp_path):
    trainer, table = Trainer(), Table("sizes", {"here": {}, "there": {"data.canvases": ((64, 64),)}})
    monkeypatch.setattr(runs, "train", trainer)
    with pytest.raises(ValueError, match=r"config.data.canvases is \(\(64, 64\),\); allowed"):
        runs.run_table(load_config("mask_rcnn_tables"), "sizes", table, tmp_path, 1)
    assert not trainer.calls
