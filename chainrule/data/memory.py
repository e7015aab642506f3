"""How much memory may still be taken: what the machine has free, less where a control group or the process itself has a limit."""

from __future__ import annotations

import os
from pathlib import Path

from chainrule.core.errors import InputError

try:
    import resource
except ImportError:      # a system without limits of processes
    resource = None  # type: ignore[assignment]

GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
MACHINE = Path("/proc/meminfo")
OWN_STATUS = Path("/proc/self/status")
OWN_LIMITS = {"RLIMIT_AS": "VmSize", "RLIMIT_DATA": "VmData"}    # each with what the kernel holds against it


def free_memory() -> int:
    """Bytes that can be taken without swapping, as the machine, the limits of control groups (versions 1 and 2) and those of the process
    (`ulimit -v`, `ulimit -d`) have it.
    """
    return max(min([left_to_processes(), *_left_to_this()]), 0)


def left_to_processes() -> int:
    """Bytes that can be taken by this process and those that it starts, each of which has the limits of a process for itself."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if MACHINE.exists():
        free = next(int(line.split()[1]) * 1024 for line in MACHINE.read_text().splitlines() if line.startswith("MemAvailable"))
    return max(min([free, *_left_in_groups()]), 0)


def _left_in_groups() -> list[int]:
    """Bytes left below each limit that this process is under: its group's own and those of all groups around it."""
    try:
        lines = OWN_GROUPS.read_text().splitlines()
    except OSError:
        return []
    left = []
    for line in lines:
        number, controllers, place = line.split(":", 2)
        second = number == "0" and not controllers
        if not second and "memory" not in controllers.split(","):
            continue
        root = GROUPS if second else GROUPS / "memory"
        names = ("memory.max", "anon") if second else ("memory.limit_in_bytes", "total_rss")
        own = Path(place.lstrip("/"))
        left += [rest for group in (root / own, *(root / around for around in own.parents)) if (rest := _left(group, *names)) is not None]
    return left


def _left(group: Path, limit: str, resident: str) -> int | None:
    """What one group has left below its limit; None where it has none, or is not shown to this process."""
    try:
        most = (group / limit).read_text().strip()
        if not most.isdigit():
            return None
        taken = next(int(line.split()[1]) for line in (group / "memory.stat").read_text().splitlines() if line.startswith(f"{resident} "))
    except (OSError, StopIteration):
        return None
    return int(most) - taken


def _left_to_this() -> list[int]:
    """Bytes left below each limit that this process has of its own."""
    if resource is None or not OWN_STATUS.exists():
        return []
    most = {name: resource.getrlimit(getattr(resource, name))[0] for name in OWN_LIMITS if hasattr(resource, name)}
    limited = {name: limit for name, limit in most.items() if limit != resource.RLIM_INFINITY}
    if not limited:
        return []
    lines = dict(line.split(":", 1) for line in OWN_STATUS.read_text().splitlines() if ":" in line)
    return [limit - 1024 * int(lines[OWN_LIMITS[name]].split()[0]) for name, limit in limited.items()]


def afford(needed: int, what: str, free: int | None = None) -> None:
    """Raises InputError where something takes more memory than is free, or than `free`."""
    free = free_memory() if free is None else free
    if needed > free:
        raise InputError(f"{what} takes about {size(needed)} of memory, and {size(free)} are free. Give less at once, or free some.")


def size(nbytes: int) -> str:
    """Bytes for people: `1.4 GB`, `25 MB`."""
    return f"{nbytes / 1e9:,.1f} GB" if nbytes >= 1e8 else f"{nbytes / 1e6:,.1f} MB"
