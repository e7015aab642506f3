"""What is loaded as a program: only what nobody else can have written, from wherever it may run; and whose failure a failure is."""

import ctypes
import gc
import os
import stat
import time
from pathlib import Path

import pytest

from chainrule.core.errors import MachineFailed, PlanRejected
from chainrule.engine.native import compiling
from chainrule.engine.native.compiling import library

SOURCE = "long answer(void) { return 42; }\n"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """The usual and the spare folder of a test; no headers are copied, and nothing is optimised."""
    usual, spare = tmp_path / "home", tmp_path / "spare"
    monkeypatch.setattr(compiling, "usual_folder", lambda: usual)
    monkeypatch.setattr(compiling, "spare_folder", lambda: spare)
    monkeypatch.setattr(compiling, "FLAGS", ("-O0", "-fPIC", "-shared"))
    monkeypatch.setattr(compiling, "_headers", dict)
    return usual, spare


@pytest.fixture
def compiled(monkeypatch):
    """How often the compiler is called."""
    calls, real = [], compiling._Process
    monkeypatch.setattr(compiling, "_Process", lambda *given: calls.append(given) or real(*given))
    return calls


def kept(folder):
    return sorted(folder.glob("*.so")) if folder.exists() else []


def test_a_program_is_kept_where_only_its_owner_writes(folders, compiled):
    usual, spare = folders
    assert library(SOURCE, 1).answer() == library(SOURCE, 1).answer() == 42
    assert len(compiled) == 1
    assert len(kept(usual)) == 1
    assert kept(spare) == []
    assert not any(stat.S_IMODE(path.stat().st_mode) & 0o022 for path in (usual, *kept(usual)))


def test_a_program_is_compiled_once_and_never_loaded_corrupt(tmp_path, compiled):
    for _ in range(2):
        assert library(SOURCE, 1, tmp_path).answer() == 42
        assert len(compiled) == 1
    (program,) = kept(tmp_path)
    program.unlink()  # another file in its place: what is loaded already must not change under us
    program.write_bytes(b"not a library")
    assert library(SOURCE, 1, tmp_path).answer() == 42
    assert len(compiled) == 2
    assert list(tmp_path.iterdir()) == [program]
    library(SOURCE, 2, tmp_path)
    assert len(compiled) == 3, "with threads it is another program"


def test_what_the_compiler_says_of_a_program_is_told_and_nothing_is_left(tmp_path):
    with pytest.raises(PlanRejected, match=r"the C compiler failed: .*error: .*nonsense"):
        library("int run(void) { return nonsense; }", 1, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702])
def test_nothing_is_loaded_from_a_folder_that_others_may_write(folders, compiled, mode):
    """As root, a program that another user had put there was run."""
    usual, spare = folders
    library(SOURCE, 1)
    usual.chmod(mode)
    assert library(SOURCE, 1).answer() == 42
    assert len(compiled) == 2, "what lies there is not trusted"
    assert len(kept(usual)) == len(kept(spare)) == 1
    library(SOURCE, 1)
    assert len(compiled) == 2


@pytest.mark.parametrize("what", ["folder", "file"])
def test_nothing_is_loaded_that_another_user_owns(folders, compiled, what, monkeypatch):
    usual, _ = folders
    library(SOURCE, 1)
    foreign = usual if what == "folder" else kept(usual)[0]
    real = Path.stat

    def seen(path, **options):
        about = real(path, **options)
        return os.stat_result([*about[:4], os.geteuid() + 1, *about[5:10]]) if path == foreign else about

    monkeypatch.setattr(Path, "stat", seen)
    assert library(SOURCE, 1).answer() == 42
    assert len(compiled) == 2


def test_a_file_that_others_may_write_is_not_loaded(folders, compiled):
    usual, _ = folders
    library(SOURCE, 1)
    kept(usual)[0].chmod(0o666)
    assert library(SOURCE, 1).answer() == 42
    assert len(compiled) == 2


def no_running_from(folder, monkeypatch):
    """A file system mounted noexec, as the loader tells of it."""
    real = ctypes.CDLL

    def load(path, *rest):
        if Path(path).is_relative_to(folder):
            raise OSError(f"{path}: failed to map segment from shared object")
        return real(path, *rest)

    monkeypatch.setattr(ctypes, "CDLL", load)


def test_where_the_home_lets_nothing_run_another_folder_is_used(folders, compiled, monkeypatch):
    usual, spare = folders
    no_running_from(usual, monkeypatch)
    assert library(SOURCE, 1).answer() == library(SOURCE, 1).answer() == 42
    assert len(compiled) == 1
    assert len(kept(spare)) == 1


def test_a_home_that_cannot_be_written_costs_nothing_but_the_spare_folder(folders, compiled):
    usual, spare = folders
    usual.write_text("a file where the folder should be")
    assert library(SOURCE, 1).answer() == library(SOURCE, 1).answer() == 42
    assert len(compiled) == 1
    assert len(kept(spare)) == 1


def test_where_nothing_can_be_loaded_the_machine_has_failed(tmp_path, monkeypatch):
    no_running_from("/", monkeypatch)
    with pytest.raises(MachineFailed, match=r"could not be loaded: .*failed to map"):
        library(SOURCE, 1)


def compiler(folder, script, monkeypatch):
    """A compiler that does what the script says when it is to compile."""
    path = folder / "cc"
    path.write_text(f'#!/bin/sh\ncase "$*" in *-dM*) exit 0;; esac\n{script}\n')
    path.chmod(0o755)
    monkeypatch.setattr(compiling, "_compiler", lambda: str(path))


@pytest.mark.parametrize("script", ["kill -9 $$", "echo 'cc1: error: No space left on device' >&2; exit 1", "exit 1",
                                    "echo 'gcc: fatal error: Killed signal terminated program cc1' >&2; exit 1",
                                    "echo 'cc1: fatal error: cannot execute cc1' >&2; exit 1"])
def test_what_stops_the_compiler_is_the_machines_failure(tmp_path, monkeypatch, script):
    compiler(tmp_path, script, monkeypatch)
    with pytest.raises(MachineFailed):
        library(SOURCE, 1)


def test_what_the_compiler_finds_in_the_source_is_not(tmp_path, monkeypatch):
    compiler(tmp_path, "echo 'program.c:1: error: expected expression' >&2; exit 1", monkeypatch)
    with pytest.raises(PlanRejected, match="expected expression") as caught:
        library(SOURCE, 1)
    assert not isinstance(caught.value, MachineFailed)


WAITING = 'pwd > "{0}/where"; while [ ! -e "{0}/go" ]; do sleep 0.02; done; exec cc "$@"'


def waited_for(condition):
    ends = time.monotonic() + 60
    while not condition() and time.monotonic() < ends:
        time.sleep(0.02)
    assert condition()


def test_the_compiler_works_in_a_process_of_its_own(tmp_path, monkeypatch):
    compiler(tmp_path, WAITING.format(tmp_path), monkeypatch)
    program = compiling.Compilation(SOURCE, 1)
    assert not program.ready()
    (tmp_path / "go").touch()
    waited_for(program.ready)
    assert program.library().answer() == 42
    assert program.seconds > 0
    assert not Path((tmp_path / "where").read_text().strip()).exists()
    again = compiling.Compilation(SOURCE, 1)
    assert again.ready()
    assert again.seconds == 0


def test_a_compiler_whose_program_nobody_waits_for_is_ended(tmp_path, monkeypatch):
    compiler(tmp_path, WAITING.format(tmp_path), monkeypatch)
    program = compiling.Compilation(SOURCE, 1)
    waited_for((tmp_path / "where").exists)
    process, folder = program._process._process, program._process._folder
    assert process.poll() is None
    del program
    gc.collect()
    assert process.poll() is not None
    assert not folder.exists()


def test_what_fails_beside_is_raised_when_it_is_asked_for(tmp_path, monkeypatch):
    compiler(tmp_path, "echo 'program.c:1: error: expected expression' >&2; exit 1", monkeypatch)
    program = compiling.Compilation(SOURCE, 1)
    waited_for(program.ready)
    with pytest.raises(PlanRejected, match="expected expression"):
        program.library()


def test_a_missing_compiler_is_the_machines_failure(monkeypatch):
    monkeypatch.setattr(compiling.shutil, "which", lambda name: None)
    with pytest.raises(MachineFailed, match="no C compiler"):
        library(SOURCE, 1)
    assert compiling.compiler_words() == ""


def test_the_words_for_what_writes_programs_change_with_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(compiling.importlib.resources, "files", lambda _: tmp_path)
    words = []
    for text in ("one = 1", "one = 2", "one = 1"):
        (tmp_path / "writer.py").write_text(text)
        compiling.writer_words.cache_clear()
        words.append(compiling.writer_words())
    compiling.writer_words.cache_clear()
    assert words[0] == words[2] != words[1]


def test_the_words_for_a_compiler_change_with_it(tmp_path, monkeypatch):
    compiler(tmp_path, "exit 0", monkeypatch)
    before = compiling.compiler_words()
    compiler(tmp_path, "exit 0 # newer", monkeypatch)
    assert compiling.compiler_words() != before
