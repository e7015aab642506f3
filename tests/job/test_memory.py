"""The sum of memory before a net is made: what it costs itself."""

import subprocess
import sys

PROGRAM = """
import sys
from chainrule.core.registry import nets
from chainrule.job.memory import check_memory

for name, inputs in (("ensemble", (64,)), ("ensemble:waves=4", (64,)), ("mlp", (64,)), ("linear", (64,)), ("lenet", (1, 28, 28)),
                     ("capsnet", (1, 28, 28)), ("local", (1, 28, 28)), ("rbm", (64,)), ("resnet", (3, 32, 32))):
    check_memory(nets.choose(name), inputs, 10)
    assert "torch._dynamo" not in sys.modules, name
"""


def test_counting_weights_loads_no_compiler():
    """An operation out of place between tensors without memory is one of torch's Python references, which load its compiler: a second."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
