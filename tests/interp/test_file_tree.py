"""Trees of files: folders, zip files with hostile members, and repositories without a network."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
import torch
from huggingface_hub import ModelInfo

from dagster_project.interp import file_tree
from dagster_project.interp.dictionary_checks import DictionaryError
from dagster_project.interp.dictionary_files import Place, find_folder, load_site, load_sites
from dagster_project.interp.file_tree import FileTree, folder_tree, hub_tree, open_tree, zip_tree
from tests.interp.foreign_forms import D_MODEL, dictionary_learning, put, saelens


def zipped(file: Path, members: dict[str, bytes]) -> Path:
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def names_only(*names: str) -> FileTree:
    return FileTree(Path("here"), names, lambda name: name.encode(), len)


def test_a_zip_file_is_read_where_it_lies(tmp_path: Path) -> None:
    """The set for Pythia, whose root is two folders down."""
    root, form = "dictionaries/pythia-70m-deduped", dictionary_learning("AutoEncoder")
    folders = [f"{root}/embed/10_40", f"{root}/attn_out_layer0/10_40"]
    members = {f"{f}/{name}": content for f in folders for name, content in form.files.items()}
    file = zipped(tmp_path / "set.zip", members)
    found = load_sites(file, {"embed": D_MODEL, "attn_0": D_MODEL})
    x = torch.randn(9, D_MODEL)
    torch.testing.assert_close(
        found["attn_0"].encode(x).double(), form.encode(x.double()), atol=1e-5, rtol=1e-5
    )
    assert [p.name for p in tmp_path.iterdir()] == ["set.zip"]
    with pytest.raises(DictionaryError, match=r"set.zip: expected a dictionary of mlp_0"):
        load_sites(file, {"mlp_0": D_MODEL})


@pytest.mark.parametrize("name", ["../embed/ae.pt", "/embed/ae.pt", "a/../../b", "..\\b"])
def test_names_that_would_leave_the_zip_file_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DictionaryError, match="names of members inside the zip file"):
        zip_tree(zipped(tmp_path / "set.zip", {"embed/config.json": b"{}", name: b""}))
    assert [p.name for p in tmp_path.iterdir()] == ["set.zip"]


def test_a_zip_file_that_grows_without_measure_is_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "bomb.zip", {"embed/ae.pt": bytes(8 << 20)})
    with pytest.raises(DictionaryError, match=r"grow 200 times at most, found embed/ae.pt"):
        zip_tree(file)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    with ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a", b"1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a", b"2")
    with pytest.raises(DictionaryError, match="different names, found a twice"):
        zip_tree(tmp_path / "two.zip")


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    file = zipped(tmp_path / "set.zip", {"embed/ae.pt": os.urandom(4096)})
    content = bytearray(file.read_bytes())
    content[1000:1004] = bytes(4)
    file.write_bytes(content)
    with pytest.raises(DictionaryError, match=r"set.zip/embed/ae.pt: expected an undamaged file"):
        zip_tree(file).folder("embed").read("ae.pt")


def test_a_member_with_a_password_is_refused(tmp_path: Path) -> None:
    file = zipped(tmp_path / "set.zip", {"ae.pt": b"x"})
    content = bytearray(file.read_bytes())
    struct.pack_into("<H", content, content.index(b"PK\1\2") + 8, 1)
    file.write_bytes(content)
    with pytest.raises(DictionaryError, match=r"without a password, found ae.pt"):
        zip_tree(file)


def test_no_zip_file(tmp_path: Path) -> None:
    (tmp_path / "set.zip").write_bytes(b"no")
    with pytest.raises(DictionaryError, match="expected a zip file"):
        open_tree(tmp_path / "set.zip", "set.zip", "")


def test_links_are_followed_and_never_in_circles(tmp_path: Path) -> None:
    (tmp_path / "set" / "embed").mkdir(parents=True)
    (tmp_path / "set" / "embed" / "ae.pt").write_bytes(b"x")
    (tmp_path / "set" / "embed" / "back").symlink_to(tmp_path / "set")
    (tmp_path / "link").symlink_to(tmp_path / "set")
    assert "embed/ae.pt" in folder_tree(tmp_path / "link").names
    assert len(folder_tree(tmp_path / "set").names) == 1


def test_of_several_folders_the_one_nearest_in_l0() -> None:
    folders = (22, 41, 82, 445)
    tree = names_only(
        *(f"layer_5/width_16k/average_l0_{n}/params.npz" for n in folders),
        "layer_5/width_65k/average_l0_100/params.npz",
        "layer_15/width_16k/average_l0_99/params.npz",
    )
    path = "layer_{layer}/width_16k/average_l0_*"
    found = find_folder(Place(tree, path, 100), "resid_5")
    assert found is not None
    assert found.name.endswith("layer_5/width_16k/average_l0_82")
    assert find_folder(Place(tree, path, 100), "resid_6") is None
    with pytest.raises(DictionaryError, match=r"exactly one folder of resid_5.*_l0_22, .*_l0_445"):
        find_folder(Place(tree, path), "resid_5")
    with pytest.raises(DictionaryError, match="folders whose names end in their L0"):
        find_folder(Place(names_only("a/ae.pt", "b/ae.pt"), "*", 100), "resid_5")


@pytest.mark.parametrize(
    ("site", "folder"),
    [
        ("embed", "blocks.0.hook_resid_pre"),
        ("resid_1", "blocks.2.hook_resid_pre"),
        ("resid_2", "blocks.2.hook_resid_post"),
        ("mid_1", "blocks.1.hook_resid_mid"),
        ("z_0", "blocks.0.attn.hook_z"),
        ("attn_1", "blocks.1.hook_attn_out"),
        ("mlp_1", "below/mlp_out_layer1/10_40"),
        ("mlp_11", "below/mlp_out_layer11/10_40"),
        ("resid_0", "resid_0"),
    ],
)
def test_each_site_has_its_names(site: str, folder: str) -> None:
    every = (
        "blocks.0.hook_resid_pre blocks.2.hook_resid_pre blocks.2.hook_resid_post"
        " blocks.1.hook_resid_mid blocks.0.attn.hook_z blocks.1.hook_attn_out"
        " below/mlp_out_layer1/10_40 below/mlp_out_layer11/10_40 resid_0 xresid_0"
    )
    tree = names_only(*(f"{name}/config.json" for name in every.split()))
    found = find_folder(Place(tree), site)
    assert found is not None
    assert found.name == folder


def test_the_stream_between_layers_has_one_dictionary() -> None:
    names = ("blocks.1.hook_resid_post/cfg.json", "blocks.2.hook_resid_pre/cfg.json")
    with pytest.raises(DictionaryError, match=r"exactly one folder of resid_1"):
        find_folder(Place(names_only(*names)), "resid_1")


def test_from_the_hub_only_what_is_read_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, fetched = tmp_path / "hub", []
    put(saelens("standard"), repository / "blocks.1.hook_mlp_out")
    put(saelens("standard"), repository / "blocks.2.hook_mlp_out")

    class Api:
        def model_info(self, name: str, revision: str, files_metadata: bool) -> ModelInfo:
            assert (name, revision, files_metadata) == ("some/set", "abc", True)
            here = folder_tree(repository)
            files = [{"rfilename": name, "size": here.size(name)} for name in here.names]
            return ModelInfo(id=name, siblings=files)

    def fetch(_repository: str, name: str, revision: str | None) -> str:
        fetched.append(name)
        return str(repository / name)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", fetch)
    file_tree.hub_tree.cache_clear()
    tree = open_tree(tmp_path / "nowhere", "some/set", "abc")
    assert load_site(Place(tree), "mlp_1", D_MODEL).n_features == 40
    folder = "blocks.1.hook_mlp_out/"
    sizes = [tree.size(folder + name) for name in ("cfg.json", "sae_weights.safetensors")]
    assert tree.folder(folder.rstrip("/")).size == sum(sizes) > 4 * 2 * 40 * D_MODEL
    assert sorted(fetched) == [folder + "cfg.json", folder + "sae_weights.safetensors"]
    with pytest.raises(DictionaryError, match="hub:some/set: expected a dictionary of mlp_0"):
        load_site(Place(tree), "mlp_0", D_MODEL)

    form = dictionary_learning("AutoEncoder")
    members = {f"set/embed/10_40/{name}": content for name, content in form.files.items()}
    zipped(repository / "set.zip", members)
    file_tree.hub_tree.cache_clear()
    tree = open_tree(tmp_path / "nowhere", "some/set/set.zip", "abc")
    assert load_site(Place(tree), "embed", D_MODEL).n_features == 40


def test_without_a_network_the_snapshot_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(saelens("standard"), tmp_path / "blocks.1.hook_mlp_out")

    class Api:
        def model_info(self, *_: object, **__: object) -> ModelInfo:
            raise RuntimeError("no route to host")

    def snapshot(*_: object, local_files_only: bool, **__: object) -> str:
        assert local_files_only
        return str(tmp_path)

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot)
    file_tree.hub_tree.cache_clear()
    tree = hub_tree("some/set", "abc")
    assert load_site(Place(tree), "mlp_1", D_MODEL).n_features == 40
    # What is not there may be on the hub, and so may a folder that fits better.
    for site, place in (("mlp_0", Place(tree)), ("mlp_1", Place(tree, "blocks.*", 7))):
        with pytest.raises(DictionaryError, match="expected a network, to tell whether there is"):
            find_folder(place, site)
    file_tree.hub_tree.cache_clear()
