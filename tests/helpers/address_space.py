"""A training beside itself under a real limit of the address space; for programs that run in a process of their own."""

import resource
from pathlib import Path


def status(name):
    """Bytes that the kernel says of this process under so many words."""
    return int(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)).split()[1]) * 1024


def whole_and_split(trained, rows, out):
    """What `trained(batch, out)` gives for batches of so many rows, the same with three quarters of the memory, and how much that is."""
    trained(50, out / "first")                           # whatever is loaded and kept with the first run
    before = status("VmSize")
    whole = trained(rows, out / "whole")
    needed = status("VmPeak") - before
    limit = before + needed * 3 // 4                      # not from what is there now: memory that was kept would be used again
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return whole, trained(rows, out / "split"), needed
