"""Export of networks to files that run without raynas."""

from raynas.exporting.network import Exported, export
from raynas.exporting.provenance import Preprocessing, Provenance
from raynas.exporting.verification import VerificationError

__all__ = ["Exported", "Preprocessing", "Provenance", "VerificationError", "export"]
