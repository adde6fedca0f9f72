"""What the doctor finds."""

import importlib.metadata

import pytest

from ssl_keras.experiments import doctor
from ssl_keras.experiments.options import Doctor


def _installed(monkeypatch: pytest.MonkeyPatch, **versions: str | None) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        found = versions[name] if name in versions else real(name)
        if found is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(doctor.importlib.metadata, "version", version)


def test_all_is_well_here() -> None:
    assert not [finding for finding in doctor.packages() if finding.fatal]


def test_a_missing_package_is_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, pyarrow=None)
    (finding,) = [finding for finding in doctor.packages() if finding.what == "pyarrow"]
    assert finding.fatal and finding.remedy == 'pip install "pyarrow>=15"'


def test_an_unsuitable_version_has_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(monkeypatch, keras="3.2.0")
    (finding,) = [finding for finding in doctor.packages() if finding.what == "keras"]
    assert finding.found == "3.2.0" and "keras" in finding.remedy and not finding.fatal


def test_no_tensorflow_under_any_name(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _installed(monkeypatch, tensorflow=None, **{"tensorflow-cpu": None, "tensorflow-tpu": None})
    with pytest.raises(SystemExit) as left:
        doctor.run(Doctor())
    assert left.value.code == 1
    assert "ssl_keras[cpu]" in capsys.readouterr().out


def test_a_data_folder_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", "/nowhere")
    (finding,) = doctor._data()
    assert finding.remedy
