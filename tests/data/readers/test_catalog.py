"""Named sets: the embedded ones against scikit-learn, downloads that are announced, checked and cached, and missing names."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile

import numpy as np
import pytest
import sklearn.datasets as oracle
import torch
from made_data import cifar_folder, idx_folder

from chainrule.core.errors import CorruptFile, InputError
from chainrule.core.registry import datasets
from chainrule.data.load import load
from chainrule.data.readers import catalog, download
from chainrule.data.readers.download import File


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home, so that neither this machine's cache nor CHAINRULE_DATA is found."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("CHAINRULE_DATA", raising=False)
    monkeypatch.setattr(download, "SYSTEM", tmp_path / "nothing")
    return tmp_path / "home"


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "diabetes", "digits"])
def test_embedded_sets_are_scikit_learns(name):
    held = getattr(oracle, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    source = load(name.replace("_", "-"))
    x = source.inputs.flatten(1) if name == "digits" else torch.stack([c.values for c in source.inputs.columns], 1)
    np.testing.assert_array_equal(x, held.data)
    np.testing.assert_array_equal(source.targets, held.target)
    if name != "digits":
        assert list(source.inputs.names) == list(held.feature_names)
    if name != "diabetes":
        assert source.classes == tuple(map(str, held.target_names))


def test_a_changed_embedded_file_is_refused(monkeypatch):
    from chainrule.data.readers import embedded

    monkeypatch.setitem(embedded.SHA256, "iris.csv", "0" * 64)
    with pytest.raises(CorruptFile, match=r"iris\.csv is not the file its set was published with"):
        load("iris")


def test_importing_and_reading_digits_needs_none_of_the_heavy_libraries():
    heavy = ["polars", "sklearn", "scipy", "PIL", "pandas", "narwhals", "matplotlib"]
    code = ("import json, sys; from chainrule.data.load import load; from chainrule.data.prepare import prepare;"
            "prepare(load('digits')); prepare(load('iris'));"
            f"print(json.dumps([m for m in {heavy} if m in sys.modules]))")
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(out.stdout) == []


def test_every_named_set_has_a_summary_and_a_source():
    wanted = "digits iris wine breast-cancer diabetes mnist fashion-mnist cifar10 cifar100 svhn kmnist"
    assert set(wanted.split()) <= set(datasets.names())
    for entry in datasets.entries():
        assert entry.summary
        assert "https://" in entry.source or "http://" in entry.source or "arXiv" in entry.source


def published(monkeypatch, folder, files, name="mnist", **wrong):
    """Pretend that the files of a folder are what is published, behind file:// addresses."""
    made = tuple(File(f, (folder / f).as_uri(), wrong.get("md5") or hashlib.md5((folder / f).read_bytes()).hexdigest()) for f in files)
    monkeypatch.setattr(catalog, "FILES", {**catalog.FILES, name: made})


def test_a_download_is_announced_checked_and_cached(home, tmp_path, monkeypatch):
    idx_folder(tmp_path / "web", packed=True)
    published(monkeypatch, tmp_path / "web", [f"{n}.gz" for n in catalog.IDX_FILES])
    said = []
    source = load("mnist", say=said.append)
    assert len(said) == 4
    assert all(s.startswith("Downloading file://") for s in said)
    assert source.parts["test"].tolist() == list(range(30, 40))
    assert source.origin == {"kind": "named", "what": "mnist", "target": None, "group": None, "time": None, "weight": None}
    assert sorted(p.name for p in (home / ".cache" / "chainrule" / "mnist").iterdir()) == sorted(f"{n}.gz" for n in catalog.IDX_FILES)
    assert load("mnist", say=lambda s: pytest.fail(s)).fingerprint == source.fingerprint


def test_a_download_with_another_checksum_is_not_kept(home, tmp_path, monkeypatch):
    idx_folder(tmp_path / "web", packed=True)
    published(monkeypatch, tmp_path / "web", [f"{n}.gz" for n in catalog.IDX_FILES], md5="0" * 32)
    with pytest.raises(CorruptFile, match=r"came with MD5 .*; expected 0000.* Nothing was kept"):
        load("mnist", say=lambda _: None)
    assert not list(home.rglob("*.gz"))


def test_without_network_the_error_says_what_was_sought_and_where(home, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "FILES", {**catalog.FILES, "mnist": (File("a.gz", (tmp_path / "absent").as_uri(), "0"),)})
    (tmp_path / "mine").mkdir()
    sought = r"mnist is not on this machine .* Sought a\.gz in .*/mine/mnist, .*/\.cache/chainrule/mnist: put them"
    with pytest.raises(InputError, match=sought):
        load("mnist", data_dir=tmp_path / "mine", say=lambda _: None)
    with pytest.raises(InputError, match=r"--data-dir .*typo is not a folder"):
        load("mnist", data_dir=tmp_path / "typo")


def test_only_the_wanted_plain_members_of_an_archive_are_unpacked(home, tmp_path, monkeypatch):
    x, _ = cifar_folder(tmp_path / "cifar-10-batches-bin")
    archive = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted((tmp_path / "cifar-10-batches-bin").iterdir()):
            tar.add(path, f"../../{path.name}")
        link = tarfile.TarInfo("x/batches.meta.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
        extra = tarfile.TarInfo("/tmp/evil.bin")
        extra.size = 3
        tar.addfile(extra, io.BytesIO(b"abc"))
    members = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
    made = File(archive.name, archive.as_uri(), hashlib.md5(archive.read_bytes()).hexdigest(), members=members)
    monkeypatch.setattr(catalog, "FILES", {**catalog.FILES, "cifar10": (made,)})
    source = load("cifar10", say=lambda _: None)
    assert torch.equal(source.inputs, torch.from_numpy(x))
    assert sorted(p.name for p in (home / ".cache/chainrule/cifar10").iterdir()) == sorted(members)
    lacking = File(archive.name, archive.as_uri(), made.md5, members=("batches.meta.txt",))
    with pytest.raises(CorruptFile, match=r"lacks batches\.meta\.txt"):
        download.fetch("other", [lacking], None, lambda _: None)


def test_a_folder_of_one_set_is_not_taken_for_another_of_the_same_file_names(home, tmp_path, monkeypatch):
    idx_folder(tmp_path / "data", packed=True)
    idx_folder(tmp_path / "web", packed=True, train=33)
    published(monkeypatch, tmp_path / "web", [f"{n}.gz" for n in catalog.IDX_FILES], "kmnist")
    assert len(load("kmnist", data_dir=tmp_path / "data", say=lambda _: None)) == 43
    published(monkeypatch, tmp_path / "data", [f"{n}.gz" for n in catalog.IDX_FILES], "fashion-mnist")
    found = load("fashion-mnist", data_dir=tmp_path / "data", say=lambda s: pytest.fail(s))
    assert (len(found), found.origin["data_dir"]) == (40, str(tmp_path / "data"))
    assert load(tmp_path / "data").name == "fashion-mnist"


@pytest.mark.parametrize(("what", "message"), [
    ("digts", r"'digts' is neither a named set nor a file or folder here\. Did you mean digits"),
    ("trian.csv", r"trian\.csv does not exist\. Did you mean train\.csv"),
    ("nowhere/train.csv", "neither does its folder nowhere"),
    ("notes.docx", "is of no kind that chainrule reads; expected .csv .tsv .parquet"),
    ("empty.csv", r"empty\.csv is empty \(0 bytes\)"),
])
def test_a_name_that_is_nothing_offers_the_nearest(tmp_path, monkeypatch, what, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.csv").write_text("x,y\n1,2\n")
    (tmp_path / "notes.docx").write_text("x")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(InputError, match=message):
        load(what)


def test_named_sets_take_no_columns():
    with pytest.raises(InputError, match="iris has its own target"):
        load("iris", target="species")


def test_a_file_is_read_again_from_its_origin_alone(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("site,day,x,cost\n" + "".join(f"{i % 4},{i},{i * i},{i / 3}\n" for i in range(20)))
    source = load(path, target="cost", group="site")
    origin = json.loads(json.dumps(source.origin))
    again = load(origin["what"], target=origin["target"], group=origin["group"], time=origin["time"])
    assert again.fingerprint == source.fingerprint
    path.write_text(path.read_text().replace("361", "362"))
    assert load(path, target="cost", group="site").fingerprint != source.fingerprint
