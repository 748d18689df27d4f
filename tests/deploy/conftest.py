"""The scripts of deploy/ are no package: they are imported from their folder, as they are run."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path += [str(ROOT / "deploy" / "tf_serving"), str(ROOT / "tests" / "deploy")]


@pytest.fixture(scope="session")
def served(served_models):
    """({"rest": ..., "grpc": ...}: addresses of the stand-in server, its `Model`)."""
    import stand_in_server

    with stand_in_server.serve(served_models / stand_in_server.NAME / "1") as addresses_and_model:
        yield addresses_and_model
