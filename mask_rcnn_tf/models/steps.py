"""Inference as a list of named steps, each from the tensors so far to new ones.

The model runs the list; the benchmark times each step; exports put other functions in the place of the networks among
them. Nothing else describes inference.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

Tensors = dict[str, Any]  # by name: tensors, or what a RoI operator made of the features


class Step(NamedTuple):
    """One step.

    Attributes:
      name: of the step, as the benchmark prints it.
      run: from the tensors so far to new ones.
      network: the network that the step is part of, "" for geometry. Steps of one network follow each other.
      inputs: of a network: the names that `run` reads, without those that earlier steps of the same network made.
      inner: of a network: the names of its outputs that only later steps of the same network read.
      delegated: the same step without gathers, which delegates of phones do not take; None: `run` has none.
    """

    name: str
    run: Callable[[Tensors], Tensors]
    network: str = ""
    inputs: tuple[str, ...] = ()
    inner: tuple[str, ...] = ()
    delegated: Optional["Step"] = None


class Network(NamedTuple):
    """A part of the model with weights, between the geometry: what accelerators and int8 speed up."""

    run: Callable[[Tensors], Tensors]  # from `inputs` to the outputs, all flat tensors
    inputs: tuple[str, ...]


def run_steps(steps: Sequence[Step], tensors: Tensors) -> Tensors:
    """Runs steps one after the other; returns all tensors, those given included."""
    tensors = dict(tensors)
    for step in steps:
        tensors.update(step.run(tensors))
    return tensors


def networks(steps: Sequence[Step], delegated: bool = False) -> dict[str, Network]:
    """The networks among the steps, by name, in order.

    Args:
      steps: of a model.
      delegated: whether to take the forms without gathers.
    """
    groups: dict[str, list[Step]] = {}
    for step in steps:
        if step.network:
            groups.setdefault(step.network, []).append(step.delegated if delegated and step.delegated else step)
    return {name: _join(group) for name, group in groups.items()}


def _join(group: Sequence[Step]) -> Network:
    inner = {name for step in group for name in step.inner}
    inputs = tuple(dict.fromkeys(name for step in group for name in step.inputs))

    def run(tensors: Tensors) -> Tensors:
        given = {name: tensors[name] for name in inputs}
        found = run_steps(group, given)
        return {name: value for name, value in found.items() if name not in inner and name not in given}

    return Network(run, inputs)


def with_networks(steps: Sequence[Step], given: dict[str, Callable[[Tensors], Tensors]]) -> list[Step]:
    """The steps with other functions in the place of networks.

    Args:
      steps: of a model.
      given: {network: function from its inputs to its outputs}.
    """
    found, swapped, done = networks(steps), [], set()
    for step in steps:
        if step.network not in given:
            swapped.append(step)
        elif step.network not in done:
            done.add(step.network)
            swapped.append(Step(step.network, _reading(given[step.network], found[step.network].inputs)))
    return swapped


def _reading(function: Callable[[Tensors], Tensors], names: Sequence[str]) -> Callable[[Tensors], Tensors]:
    return lambda tensors: function({name: tensors[name] for name in names})
