"""The kernels, compiled once for all tests of them."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from kernels import KINDS, Kernels

from chainrule.core.errors import PlanRejected


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kernels")
    try:
        with ThreadPoolExecutor(2) as pool:
            return dict(zip(KINDS, pool.map(lambda kind: Kernels(*kind, folder), KINDS.values()), strict=True))
    except PlanRejected as why:
        pytest.skip(str(why))


@pytest.fixture(params=KINDS)
def kernels(made, request):
    return made[request.param]
