"""The forked workers that tests use are real workers: processes and random numbers of their own."""

import os
import random
import sys
from typing import Any

import numpy as np
import pytest
import ray
import torch

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Ray starts its workers as always")


class Worker:
    def belongs_to(self) -> tuple[str, str, str]:
        context = ray.get_runtime_context()
        return context.get_job_id(), context.get_node_id(), os.environ["RAY_JOB_ID"]

    def draws(self) -> str:
        return str(ray.ObjectRef.from_random().hex())

    def look(self) -> tuple[int, bool, tuple[float, float, float]]:
        numbers = random.random(), float(np.random.rand()), float(torch.rand(()))
        return os.getpid(), "torch._dynamo" in sys.modules, numbers


def test_each_is_a_process_with_random_numbers_of_its_own(ray_cluster: None) -> None:
    worker: Any = ray.remote(Worker)
    workers = [worker.remote() for _ in range(2)]
    (first, forked, numbers), (second, _, others) = ray.get([worker.look.remote() for worker in workers])
    assert forked and len({first, second, os.getpid()}) == 3
    assert not set(numbers) & set(others)


def test_each_belongs_to_the_job_that_asked_for_it(ray_cluster: None) -> None:
    worker: Any = ray.remote(Worker)
    context = ray.get_runtime_context()
    assert ray.get(worker.remote().belongs_to.remote()) == (
        context.get_job_id(),
        context.get_node_id(),
        context.get_job_id(),
    )


def test_each_gives_other_identities_to_its_objects(ray_cluster: None) -> None:
    worker: Any = ray.remote(Worker)
    workers = [worker.remote() for _ in range(2)]
    first, second = ray.get([worker.draws.remote() for worker in workers])
    assert first != second
