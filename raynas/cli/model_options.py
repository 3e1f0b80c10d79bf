"""The options of a model of the user's, of its profile, and of a table of latencies, as typed dataclasses."""

from dataclasses import dataclass

from raynas.errors import SettingError
from raynas.validate import require_whole


@dataclass(frozen=True, kw_only=True)
class ModelFlags:
    """A model of yours that is searched for its smaller relatives, in the place of --space.

    Args:
        name: package.module:name of an nn.Module, or of a class or function that makes it, in quotes with arguments:
            "torchvision.models:resnet18(num_classes=10)". Parameters input_shape, n_classes and num_classes are the
            data's. Untrained weights are those of seed 0.
        weights: file of its trained weights, safetensors or what torch.save wrote of a state_dict.
        untrained: globs of layers that the file has no weights for, such as the head for other classes.
        input: what the model takes, each input as SHAPE[:TYPE[:HIGH]] without the batch: 3x224x224, or 128:long:30000
            for 128 token ids below 30,000; NAME=SHAPE gives it by name. Or package.module:function, which returns a
            batch of examples.
        vary: what may vary, each in quotes: "GLOB=width:0.5,0.75" (shares of a width), "GLOB=depth:6,12" (numbers of
            blocks), "GLOB=kernel:3,5" or "input=resolution:160,192" (pixels). By default all widths, to 0.5, 0.75 and 1
            times what they are, and all depths.
        keep: globs of what must not vary: the outputs of layers, depths, kernels.
        divisor: reduced widths are multiples of it.
        importance: which channels smaller members keep: l1 (largest weights), taylor (largest effect on --losses),
            activation (largest activations on --batches) or random.
        losses: package.module:function of the model, which gives its losses on a few batches.
        batches: package.module:function without arguments, which gives a few batches of inputs.
        seed: seed of random importance.

    Raises:
        SettingError: if a number is too small.
    """

    name: str | None = None
    weights: str | None = None
    untrained: tuple[str, ...] = ()
    input: tuple[str, ...] = ()
    vary: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    divisor: int = 8
    importance: str = "l1"
    losses: str | None = None
    batches: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require_whole("divisor", self.divisor, 1)
        require_whole("model.seed", self.seed, 0)
        if self.untrained and self.weights is None:
            raise SettingError("--untrained names layers that a file of weights lacks: give the file, --weights FILE")


@dataclass(frozen=True, kw_only=True)
class ProfileFlags:
    """Costs of the members, measured before any training.

    Args:
        profile: measure the smallest, the middle and the largest member.
        constraints: limits, each in quotes: "latency_ms <= 0.6 * baseline", where the baseline is the model; the
            profile says if they can be met.
        device: the device that latency is measured on.
        n_threads: CPU threads that it is measured with.

    Raises:
        SettingError: if a number is too small.
    """

    profile: bool = False
    constraints: tuple[str, ...] = ()
    device: str = "cpu"
    n_threads: int = 1

    def __post_init__(self) -> None:
        require_whole("n_threads", self.n_threads, 1)


@dataclass(frozen=True, kw_only=True)
class LatencyTableFlags:
    """Table of the latencies of a space's operations.

    Args:
        output: file of the table; by default latency_tables/SPACE-BACKEND.json, with the device. If it is there and
            unfinished, the profile continues.
        n_corrected: number of whole networks that the sums of latencies are corrected by.
        n_left_out: number of further whole networks, which the error is found on.
        n_threads: CPU threads within an operation.
        torch_device: device of torch, such as cuda.
        seed: of the random networks.

    Raises:
        SettingError: if a number is too small.
    """

    output: str | None = None
    n_corrected: int = 40
    n_left_out: int = 20
    n_threads: int = 1
    torch_device: str = "cpu"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("n_corrected", 0), ("n_left_out", 0), ("n_threads", 1), ("seed", 0)):
            require_whole(name, getattr(self, name), least)
