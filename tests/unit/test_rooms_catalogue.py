"""The furniture catalogue: what is read from a library, which models are usable, and who gets which split."""

import hashlib
import re
import zipfile

import numpy as np
import pytest

from inference_server.data.rooms.attributions import attribution_text
from inference_server.data.rooms.catalogue import (
    LICENCES,
    OWN_LICENCES,
    library_files,
    licence_of,
    load_catalogue,
    parse_properties,
    read_library,
    split_of,
)
from inference_server.errors import UserError


def test_entries_are_read_by_their_numbers_with_escapes():
    entries = parse_properties("# comment\nid=Lib\nname#2=Bill 10\\u20ac\nname#1 = Chair \nwidth#1=40.5\n")
    assert entries == [{"name": "Chair", "width": "40.5"}, {"name": "Bill 10€"}]


def test_splits_depend_on_the_geometry_only_and_have_the_promised_shares():
    hashes = [hashlib.sha256(str(k).encode()).hexdigest() for k in range(20_000)]
    splits = [split_of(h) for h in hashes]
    assert splits == [split_of(h) for h in hashes]
    shares = [splits.count(name) / len(splits) for name in ("train", "validation", "test")]
    assert np.allclose(shares, [0.80, 0.08, 0.12], atol=0.01)


def test_models_have_their_catalogue_size_face_the_viewer_and_keep_their_colours(furniture):
    catalogue = load_catalogue(furniture, workers=1, progress=False)
    model = next(m for m in catalogue.models if m.name == "Sofa")
    points, normals, colors, area = catalogue.surfaces.surface(model)
    assert np.allclose(np.ptp(points, axis=0), [2.0, 0.8, 0.9], atol=1e-3)
    assert np.allclose(points.min(axis=0), [-1.0, -0.4, 0.0], atol=1e-3)
    assert area == pytest.approx(2 * (2.0 * 0.8 + 2.0 * 0.9 + 0.8 * 0.9), rel=1e-3)
    front = normals[:, 1] < -0.9
    assert np.allclose(points[front, 1], -0.4, atol=1e-3), "the OBJ's front (+z) must become -y"
    assert np.allclose(colors, [0.8, 0.2, 0.2], atol=0.01)


def test_textures_are_sampled_through_the_coordinates(furniture):
    catalogue = load_catalogue(furniture, workers=1, progress=False)
    model = next(m for m in catalogue.models if m.name == "Painting")
    points, _, colors, _ = catalogue.surfaces.surface(model)
    left, right = colors[points[:, 0] < -0.1], colors[points[:, 0] > 0.1]
    assert np.allclose(left, [1, 0, 0], atol=0.02)
    assert np.allclose(right, [0, 0, 1], atol=0.02)


def test_models_out_of_proportion_are_left_out(furniture):
    names = [m.name for m in load_catalogue(furniture, workers=1, progress=False).models]
    assert "Distorted table" not in names
    assert "Table" in names


def test_the_second_load_reads_the_cache(furniture, monkeypatch):
    load_catalogue(furniture, workers=1, progress=False)
    monkeypatch.setattr("inference_server.data.rooms.surfaces._build", pytest.fail)
    assert load_catalogue(furniture, workers=1, progress=False).models


def test_a_folder_without_libraries_is_told_with_the_remedy(tmp_path):
    with pytest.raises(UserError, match="install the Debian package sweethome3d-furniture"):
        library_files(tmp_path)


def test_a_file_that_is_no_library_is_named(tmp_path):
    (tmp_path / "broken.sh3f").write_bytes(b"not a zip")
    with pytest.raises(UserError, match=r"broken\.sh3f is not a readable furniture library"):
        read_library(tmp_path / "broken.sh3f")


def test_no_model_of_the_package_is_in_two_splits_and_every_one_has_a_licence(package_models):
    splits = {}
    for model in package_models:
        assert splits.setdefault(model.identity, model.split) == model.split
        assert model.licence in ("CC0-1.0", "CC-BY-3.0", "CC-BY-3.0-US")
        assert model.author
    assert len({model.key for model in package_models}) == len(package_models)
    assert {"train", "validation", "test"} == set(splits.values())


def test_licences_agree_with_the_file_beside_each_model(package_models, package_folder):
    stated = {}
    for path in library_files(package_folder):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.count("/") == 2 and name.lower().endswith((".txt", ".html")):
                    text = re.sub(r"<[^>]*>|\s+", " ", archive.read(name).decode("utf-8", "ignore"))
                    found = re.search(r"released .{0,80}?creative commons (attribution|zero)", text, re.IGNORECASE)
                    if found:
                        zero = found[1].lower() == "zero"
                        stated[path.stem, name.split("/")[1]] = "CC0-1.0" if zero else "CC-BY-3.0"
    folders = {(m.library, m.key.split("/")[1]): m for m in package_models}
    checked = [key for key in stated if key in folders]
    assert len(checked) > 250
    for key in checked:
        assert folders[key].licence == stated[key], folders[key].key
    assert licence_of("BlendSwap-CC-0", "BlendSwap-CC-0/chair") == LICENCES["BlendSwap-CC-0"][0]
    assert licence_of("BlendSwap-CC-0", "BlendSwap-CC-0/winchesterSofa") == "CC-BY-3.0"
    assert set(OWN_LICENCES) <= {model.key for model in package_models}


def test_the_weights_attributions_name_every_model_they_may_have_seen(package_models, repository):
    text = (repository / "inference_server/weights/ATTRIBUTIONS.md").read_text(encoding="utf-8")
    assert text == attribution_text(package_models)
