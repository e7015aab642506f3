"""A number of threads that is set inside is put back, by whatever way the inside is left."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from chainrule.core.threads import cores, torch_threads


@pytest.fixture
def three():
    torch.set_num_threads(3)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize("count", [None, 1, 4])
def test_threads_are_put_back_whatever_was_set_inside(count):
    with torch_threads(count):
        assert torch.get_num_threads() == (count or 3)
        torch.set_num_threads(2)
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three")
def test_an_error_inside_puts_them_back_too():
    with pytest.raises(ValueError, match="inside"), torch_threads(1):
        raise ValueError("inside")
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three")
def test_threads_to_come_have_as_many_as_the_one_that_put_them_back():
    with torch_threads(), ThreadPoolExecutor(1) as pool:
        pool.submit(torch.set_num_threads, 1).result()
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3


@pytest.mark.usefixtures("three")
def test_a_function_may_run_with_threads_of_its_own():
    assert torch_threads(1)(torch.get_num_threads)() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU's OpenMP tells of itself on Linux")
@pytest.mark.parametrize(("given", "spins"), [({}, "5000"), ({"GOMP_SPINCOUNT": "70"}, "70"), ({"OMP_WAIT_POLICY": "passive"}, "0")])
def test_threads_that_wait_sleep_soon_unless_asked_otherwise(given, spins):
    """As the library itself says when torch loads it: a thread that shares its core must not be waited for in spinning."""
    environment = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", "import chainrule, torch"], capture_output=True, text=True, check=True,
                          env={**environment, **given, "OMP_DISPLAY_ENV": "verbose"})
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this torch has another OpenMP library")
    assert f"GOMP_SPINCOUNT = '{spins}'" in done.stderr


def test_at_least_one_processor_may_be_used():
    assert 1 <= cores() <= (os.cpu_count() or 1)
