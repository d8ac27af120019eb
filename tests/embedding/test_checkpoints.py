"""Published weights: read safely, refused clearly, and giving what a network written out layer by layer gives."""

from __future__ import annotations

import pickle
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import torch

from taxoscape.cli import run_command
from taxoscape.embedding.checkpoints import import_weights
from taxoscape.embedding.encoder import load_encoder
from taxoscape.embedding.networks import TileNet
from taxoscape.errors import InputError

REFERENCE = Path(__file__).with_name("tilenet_vector.txt")
"""The vector of `the_tile` under `fixed_weights`, by `twin` in float64."""


@lru_cache(maxsize=2)
def fixed_weights(n_bands: int = 3) -> dict[str, torch.Tensor]:
    """Return weights that depend on no random generator: a sine per tensor, of the usual size."""
    found = {}
    for number, (name, tensor) in enumerate(TileNet(n_bands).state_dict().items()):
        wave = torch.sin(torch.arange(tensor.numel(), dtype=torch.float64) * (0.37 + 0.013 * number) + number)
        wave = wave.reshape(tensor.shape)
        if name.endswith("num_batches_tracked"):
            found[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            found[name] = (1 + 0.5 * wave).float()
        elif tensor.dim() == 4:
            found[name] = (wave * (2 / np.prod(tensor.shape[1:])) ** 0.5 * 1.4).float()
        elif name.endswith("weight"):
            found[name] = (1 + 0.2 * wave).float()
        else:
            found[name] = (0.1 * wave).float()
    return found


def the_tile(n_bands: int = 3, size: int = 100) -> np.ndarray:
    row, col = np.mgrid[:size, :size]
    return np.stack([127 + 100 * np.sin(0.1 * row * (b + 1) + 0.07 * col) for b in range(n_bands)]).astype(np.uint8)


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A checkpoint with `fixed_weights`."""
    path = tmp_path_factory.mktemp("weights") / "TileNet.ckpt"
    torch.save(fixed_weights(), path)
    return path


def twin(weights: dict[str, torch.Tensor], tile: np.ndarray) -> np.ndarray:
    """Return the vector of a tile (band, y, x) in [0, 1], layer by layer from METHOD step 2, in NumPy and float64."""
    w = {name: tensor.double().numpy() for name, tensor in weights.items()}

    def conv(x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
        edge = kernel.shape[2]
        x = np.pad(x, ((0, 0), (edge // 2, edge // 2), (edge // 2, edge // 2)))
        views = np.lib.stride_tricks.sliding_window_view(x, (edge, edge), axis=(1, 2))[:, ::stride, ::stride]
        return np.einsum("iyxab,oiab->oyx", views, kernel, optimize=True)

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        scale = w[f"{name}.weight"] / np.sqrt(variance + 1e-5)
        return x * scale[:, None, None] + (w[f"{name}.bias"] - mean * scale)[:, None, None]

    def relu(x: np.ndarray) -> np.ndarray:
        return np.maximum(x, 0)

    x = relu(norm(conv(tile, w["conv1.weight"], 1), "bn1"))
    for stage in range(1, 6):
        for block in range(2):
            at = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = relu(norm(conv(x, w[f"{at}.conv1.weight"], stride), f"{at}.bn1"))
            y = norm(conv(y, w[f"{at}.conv2.weight"], 1), f"{at}.bn2")
            if f"{at}.shortcut.0.weight" in w:
                x = norm(conv(x, w[f"{at}.shortcut.0.weight"], stride), f"{at}.shortcut.1")
            x = relu(x + y)
    rows, cols = (n // 4 for n in x.shape[1:])
    pooled = x[:, : 4 * rows, : 4 * cols].reshape(len(x), rows, 4, cols, 4).mean(axis=(2, 4))
    return pooled.ravel()


@pytest.mark.parametrize(("bands", "size"), [(3, 100), (4, 50)])
def test_imported_weights_give_the_vector_of_a_network_written_out_layer_by_layer(bands, size, tmp_path) -> None:
    weights = fixed_weights(bands)
    torch.save(weights, tmp_path / "TileNet.ckpt")
    encoder = import_weights(tmp_path / "TileNet.ckpt", tile_size=size)
    tile = the_tile(bands, size)
    found, expected = encoder.embed(tile[None], batch_size=1)[0], twin(weights, tile / 255)
    assert found.shape == expected.shape == (512,)
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_fixed_weights_give_the_stored_vector(plain) -> None:
    found = import_weights(plain).embed(the_tile()[None], batch_size=1)[0]
    expected = np.array(REFERENCE.read_text().replace("\n", ",").strip(",").split(","), dtype=np.float64)
    assert expected.shape == (512,)
    assert np.linalg.norm(found - expected) < 1e-4 * np.linalg.norm(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_paper_s_network_has_20_873_280_parameters() -> None:
    assert sum(p.numel() for p in TileNet(3).parameters()) == 20_873_280


@pytest.mark.parametrize("how", ["zip", "older", "gpu", "gpu, older", "parallel", "wrapped", "without counters"])
def test_every_kind_of_checkpoint_gives_the_same_weights(how, plain, tmp_path, monkeypatch) -> None:
    weights, path = fixed_weights(), tmp_path / "weights.ckpt"
    if how.startswith("gpu"):
        monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
    if how == "parallel":
        weights = {f"module.{name}": tensor for name, tensor in weights.items()}
    if how == "without counters":
        weights = {name: tensor for name, tensor in weights.items() if "num_batches" not in name}
    content = {"epoch": 50, "state_dict": weights} if how == "wrapped" else weights
    torch.save(content, path, _use_new_zipfile_serialization="older" not in how)
    monkeypatch.undo()
    if how.startswith("gpu"):
        assert b"cuda:0" in path.read_bytes()
    found, expected = (import_weights(p).network.state_dict() for p in (path, plain))
    path.unlink()
    assert all(torch.equal(found[name], expected[name]) for name in expected if "num_batches" not in name)


def test_an_imported_encoder_is_saved_and_loaded_like_any_other(plain, tmp_path) -> None:
    encoder = import_weights(plain, bands=("red", "green", "blue"))
    encoder.save(tmp_path / "encoder.safetensors")
    again = load_encoder(tmp_path / "encoder.safetensors")
    assert again.bands == ("red", "green", "blue")
    assert again.metadata["settings"]["loss"] == "triplet"
    np.testing.assert_array_equal(
        again.embed(the_tile()[None], batch_size=1), encoder.embed(the_tile()[None], batch_size=1)
    )


def test_scale_and_offset_are_what_the_network_sees(plain) -> None:
    usual = import_weights(plain).embed(the_tile()[None], batch_size=1)
    other = import_weights(plain, scale=(2550.0,) * 3, offset=50)
    tile = the_tile().astype(np.int32) * 10 + 50
    np.testing.assert_allclose(other.embed(tile[None], batch_size=1), usual, rtol=1e-4, atol=1e-5)


class _Bomb:
    def __reduce__(self):
        return print, ("executed",)


def _rubbish(name: str, path: Path) -> Path:
    weights = {"conv1.weight": fixed_weights()["conv1.weight"], "bn1.weight": torch.ones(64)}
    if name == "code":
        path.write_bytes(pickle.dumps(_Bomb()))
    elif name == "code inside torch":
        torch.save({"state_dict": _Bomb()}, path)
    elif name == "a number":
        torch.save(3, path)
    elif name == "html":
        path.write_text("<html>not found</html>")
    elif name == "empty":
        path.write_bytes(b"")
    elif name == "cut off":
        torch.save(weights, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif name == "another network":
        torch.save(torch.nn.Linear(3, 4).state_dict(), path)
    elif name == "a layer missing":
        torch.save({k: v for k, v in fixed_weights().items() if not k.startswith("layer5.1")}, path)
    elif name == "a layer more":
        torch.save({**weights, "fc.weight": torch.zeros(3)}, path)
    elif name == "another width":
        torch.save({**weights, "layer2.0.conv1.weight": torch.zeros(64, 64, 3, 3)}, path)
    elif name == "not finite":
        torch.save({**weights, "bn1.weight": torch.full((64,), torch.nan)}, path)
    return path


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("code", "executed|cannot be read"),
        ("code inside torch", "executed"),
        ("a number", "no state dict"),
        ("html", "cannot be read|executed"),
        ("empty", "cannot be read"),
        ("cut off", "cannot be read"),
        ("another network", "no 'conv1.weight', but weight, bias"),
        ("a layer missing", "missing: layer5.1.conv1.weight"),
        ("a layer more", "not of TileNet: fc.weight"),
        ("another width", r"layer2.0.conv1.weight \(64, 64, 3, 3\) instead of \(128, 64, 3, 3\)"),
        ("not finite", "not finite: bn1.weight"),
        ("missing", "there is no file"),
    ],
)
def test_anything_else_is_refused_and_nothing_is_executed(name, message, tmp_path, capsys) -> None:
    with pytest.raises(InputError, match=message):
        import_weights(_rubbish(name, tmp_path / "weights.ckpt"))
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"bands": ("red",)}, "for 3 bands, 1 were named"),
        ({"tile_size": 128}, "49 to 112 px, not 128"),
        ({"scale": (1.0, 2.0)}, "--scale has 2 numbers for 3 bands"),
        ({"scale": 0.0}, "is positive, not 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(how, message, plain) -> None:
    with pytest.raises(InputError, match=message):
        import_weights(plain, **how)


def test_the_command_writes_an_encoder_and_refuses_rubbish_in_one_line(plain, tmp_path, capsys) -> None:
    out = tmp_path / "encoder.safetensors"
    assert run_command(["import-weights", str(plain), "--out", str(out), "--bands", "red,green,blue"]) == 0
    assert load_encoder(out).bands == ("red", "green", "blue")
    options = ["--scale", "3000,3000,4000", "--offset", "-100"]
    assert run_command(["import-weights", str(plain), "--out", str(out), *options]) == 0
    assert load_encoder(out).recipe.scaling.scale == (3000.0, 3000.0, 4000.0)
    assert load_encoder(out).recipe.scaling.offset == (-100.0,) * 3
    assert run_command(["import-weights", str(plain), "--out", str(out), "--scale", "1;2"]) == 2
    assert "--scale is a number, or one per band" in capsys.readouterr().err
    capsys.readouterr()
    (tmp_path / "page.ckpt").write_text("<html>not found</html>")
    assert run_command(["import-weights", str(tmp_path / "page.ckpt"), "--out", str(tmp_path / "no.st")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "no.st").exists()
