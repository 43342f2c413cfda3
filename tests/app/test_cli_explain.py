"""`pneumoscope explain` with feature maps: files, exit codes, one-line errors."""

from __future__ import annotations

from pathlib import Path


def test_feature_maps_are_asked_for_by_an_option(command, made_run: Path, xray_png: Path, tmp_path: Path) -> None:
    words = ("explain", made_run / "bundle", xray_png, "--features")
    code, out, err = command(*words, "--out", tmp_path / "out", "--layer", "features.4")
    assert code == 0
    assert err == "note: The file does not say what it shows; it is taken to be a chest X-ray.\n"
    assert "report: " in out
    assert (tmp_path / "out" / "features" / "features.4.png").is_file()
    code, _, err = command(*words, "--out", tmp_path / "none", "--layer", "features.44")
    assert code == 2
    assert err.startswith("error: --layer: expected a layer of the network, found 'features.44'. Did you mean")
    assert err.count("\n") == 1
    assert not (tmp_path / "none").exists()
