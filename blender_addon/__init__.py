"""Scanpick: click objects out of 3D scans. Registration only; see the modules beside this one."""

from . import operators, preferences, props, ui
from .session import handlers
from .session.session import session

_MODULES = (props, preferences, operators, ui, handlers)


def register() -> None:
    for module in _MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(_MODULES):
        module.unregister()
    session.connection.shut_down()
    session.forget_file()
