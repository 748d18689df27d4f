"""Several threads that share one runner get what one thread gets."""

from concurrent import futures

import numpy as np


def assert_threads_get_the_results_of_one(runner, images, rounds=3):
    """Predicts each image alone, then all of them `rounds` times from four threads, and compares bit by bit."""
    expected = [runner.predict([image])[0] for image in images]
    assert any(len(one["detection_scores"]) for one in expected)
    assert any(one["detection_boxes"].tobytes() != expected[0]["detection_boxes"].tobytes() for one in expected)
    with futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: runner.predict([image])[0], images * rounds))
    for ours, theirs in zip(found, expected * rounds, strict=True):
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            np.testing.assert_array_equal(ours[name], value, name)
