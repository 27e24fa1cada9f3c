"""Scanpick: click objects out of 3D scans. Registration only; see the modules beside this one."""

from . import command, handlers, operators, preferences, props, ui
from .overlay import draw, hidden
from .session.session import session
from .study import study, target
from .tool import click_tool

_MODULES = (props, preferences, draw, hidden, operators, ui, click_tool, handlers, command, target)


def register() -> None:
    for module in _MODULES:
        module.register()


def unregister() -> None:
    for module in reversed(_MODULES):
        module.unregister()
    study.stop()
    session.connection.shut_down()
    session.forget_file()
