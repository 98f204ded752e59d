"""Models are found in the clone, in an installed package, and in any other folder."""

import pytest

from keras_dnc import saved_models
from keras_dnc.saved_models import catalogue


def test_models_of_a_folder_are_listed_and_loaded(folder):
    assert saved_models.available(folder) == ["copies", "reads"]
    loaded = saved_models.load("reads", str(folder))
    assert loaded.config["thinking_steps"] == 2 and loaded.metrics == {}
    assert loaded.folder == folder / "reads"
    assert loaded.model.built


@pytest.mark.parametrize("wrong", ["nowhere", "empty"])
def test_a_folder_without_models_is_refused(tmp_path, wrong):
    (tmp_path / "empty").mkdir()
    rule = "Argument `folder` must be a folder of models"
    for call in (
        lambda path: saved_models.available(path),
        lambda path: saved_models.load("reads", path),
        lambda path: saved_models.folder_of("reads", path),
    ):
        with pytest.raises(
            FileNotFoundError, match=f"{rule}.*Received: folder=.*{wrong}"
        ):
            call(tmp_path / wrong)


@pytest.mark.parametrize("name", ["sings", "", "../reads", None, 3])
def test_an_unknown_name_is_refused_with_the_known_ones(folder, name):
    rule = r"Argument `name` must be one of \['copies', 'reads'\]"
    with pytest.raises(ValueError, match=f"{rule}. Received: name={name!r}"):
        saved_models.load(name, folder)


def test_an_installed_package_has_its_own_models(folder, monkeypatch):
    clone = saved_models.available()
    monkeypatch.setattr(catalogue, "_INSTALLED", folder)
    assert saved_models.available() == ["copies", "reads"] != clone
    assert saved_models.folder_of("reads") == folder / "reads"


def test_a_package_without_models_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, "_INSTALLED", tmp_path / "installed")
    monkeypatch.setattr(catalogue, "_CLONE", tmp_path / "clone")
    with pytest.raises(FileNotFoundError, match="Received: folder=None, and .*clone"):
        saved_models.available()


def test_the_highest_version_is_served(tmp_path):
    versions = tmp_path / "mine" / "serving"
    for version in ("9", "10", ".export-11"):
        (versions / version).mkdir(parents=True)
    (tmp_path / "mine" / "model.keras").touch()
    found = saved_models.serving_folder_of("mine", tmp_path)
    assert found == versions / "10"


def test_a_model_without_an_export_says_where_exports_are(folder):
    rule = "Argument `name` must be a model with a folder `serving/<version>`"
    with pytest.raises(FileNotFoundError, match=f"{rule}.*Received: name='reads'"):
        saved_models.serving_folder_of("reads", folder)
