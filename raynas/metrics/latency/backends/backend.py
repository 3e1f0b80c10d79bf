"""Backend: software that runs a network, as latency is measured with it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from raynas.errors import RaynasError, SettingError
from raynas.metrics.latency.deployment import Deployment, Form
from raynas.metrics.latency.settings import DTYPES, LatencySettings
from raynas.nn.programs import quiet, reason_of, require_packages

Run = Callable[[], object]
"""A function that runs a network once, on its inputs; on a GPU it may return before the end of the computation."""


class Backend(ABC):
    """Software that runs a network; a subclass gives ``version`` and ``prepare``."""

    name: ClassVar[str]
    form: ClassVar[Form]
    """Form of the network that it takes."""

    packages: ClassVar[tuple[str, ...]] = ()
    """Packages that it needs, beside torch."""

    extra: ClassVar[str] = ""
    """Extra of raynas that installs them."""

    runs_in_torch: ClassVar[bool] = False
    """True if what it does on a GPU is in torch's stream, where events of torch see it."""

    devices: ClassVar[tuple[str, ...]] = ("cpu",)
    dtypes: ClassVar[tuple[str, ...]] = tuple(DTYPES)

    def check(self, settings: LatencySettings) -> None:
        """Refuse settings that it cannot do.

        Raises:
            RaynasError: if something is not installed here; says what to install.
            SettingError: if it does not know the device or the type of numbers.
        """
        for what, value, known in (
            ("device", settings.torch_device.type, self.devices),
            ("dtype", settings.dtype, self.dtypes),
        ):
            if value not in known:
                raise SettingError(f"back end {self.name!r} has {what} {' and '.join(known)}, got {value!r}")
        try:
            require_packages(self.packages, self.extra)
            self.check_installation()
        except RaynasError as error:
            raise RaynasError(f"back end {self.name!r} is not usable here: {error}") from None

    def check_installation(self) -> None:
        """Check what else must be installed; by default nothing.

        Raises:
            RaynasError: if it is not.
        """
        return

    @property
    @abstractmethod
    def version(self) -> str:
        """Version of the software."""

    @abstractmethod
    def prepare(self, deployment: Deployment, settings: LatencySettings) -> Run:
        """Load a network, compiling it if need be, and return a function that runs it once.

        Args:
            deployment: the network, in the form ``form``.
            settings: of the measurement.
        """

    @contextmanager
    def prepared(self, deployment: Deployment, settings: LatencySettings) -> Iterator[Run]:
        """Give a function that runs a network once, until the context ends.

        Raises:
            RaynasError: if the network cannot be loaded or compiled.
        """
        try:
            with quiet():
                run = self.prepare(deployment, settings)
        except Exception as error:
            raise RaynasError(f"back end {self.name!r} cannot run the network: {reason_of(error)}") from error
        yield run
