"""The series that are carried in the package: sunspots of each year, and the carbon dioxide on Mauna Loa of each week."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from chainrule.core.registry import datasets
from chainrule.data.readers.download import to_stderr
from chainrule.data.readers.series import of_table
from chainrule.data.readers.table_files import read_file
from chainrule.data.readers.table_roles import Roles
from chainrule.data.reading import Reading
from chainrule.data.source import Source


def _series(name: str, time: str, reading: Reading) -> Source:
    path = Path(__file__).with_name(f"{name}.csv")
    source = of_table(read_file(path, reading), name, name=name, origin={}, target=name, roles=Roles(time=time), reading=reading)
    return replace(source, origin={"kind": "named", "what": name})


@datasets("sunspots", source="Clette & Lefèvre (2016), https://doi.org/10.1007/s11207-016-1014-y; NOAA's table as statsmodels carries it, "
                             "in the public domain")
def sunspots(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """Sunspots of each year from 1700 to 2008, to be foretold twelve years ahead."""
    return _series("sunspots", "year", Reading(horizon=12))


@datasets("co2", source="Keeling & Whorf (2004), Carbon Dioxide Information Analysis Center, https://doi.org/10.3334/CDIAC/atg.012, as "
                        "statsmodels carries it, in the public domain")
def co2(data_dir: str | Path | None = None, say: Callable[[str], None] = to_stderr) -> Source:
    """Carbon dioxide (parts in a million) on Mauna Loa, weekly from 1958 to 2001, to be foretold 26 weeks ahead; 59 gaps are filled."""
    return _series("co2", "week", Reading(horizon=26, fill="linear"))
