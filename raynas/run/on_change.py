"""OnChange: the treatment of finished evaluations if what trials compute has changed since."""

from typing import Literal, get_args

from raynas.errors import SettingError

OnChange = Literal["refuse", "continue", "warm_start"]
"""Name the change and raise; keep them and continue; or let the strategy learn from them, but count only new ones."""


def check_on_change(value: object) -> None:
    """Refuse anything else.

    Raises:
        SettingError: if it is.
    """
    if value not in get_args(OnChange):
        raise SettingError(f"on_change must be one of {', '.join(get_args(OnChange))}, got {value!r}")
