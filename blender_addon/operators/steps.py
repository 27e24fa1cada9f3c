"""Operators that work in steps: with progress and Esc in the window, straight through in scripts."""

from collections.abc import Iterator

import bpy

from ..export.files import ExportError
from ..labels.labels import LabelError
from ..scan.files import ScanFileError
from ..scan.scan import ScanError
from ..server.conversion import ConversionError, wait
from ..session.application import ApplicationError
from ..session.session import session
from .common import NO_SCAN, fail, scan_object

TROUBLES = (ApplicationError, ConversionError, ExportError, LabelError, ScanError, ScanFileError)
"""What `steps` may raise; each text is a sentence for the artist."""


class InSteps:
    """Mixed into an operator that has `steps(context)` and `finished(context)`.

    `steps` yields the share that is done, or None where it waits for something else; closing it undoes what it did.
    """

    exclusive = True
    """Whether the artist has to wait, since the steps hold on to Blender's data."""

    _steps: Iterator[float | None] | None = None
    _timer: bpy.types.Timer | None = None

    def execute(self, context: bpy.types.Context) -> set[str]:
        asked = self.options.is_invoke and not self.options.is_repeat
        if asked and context.window is not None and not bpy.app.background:
            return self.begin(context)
        try:
            wait(self.steps(context))
        except TROUBLES as error:
            return self._failed(context, error)
        return self.finished(context)

    def begin(self, context: bpy.types.Context) -> set[str]:
        """Start in the window; the rest is `modal`."""
        session.held += self.exclusive
        self._steps = self.steps(context)
        self._timer = context.window_manager.event_timer_add(0.001, window=context.window)
        context.window_manager.progress_begin(0, 100)
        context.window_manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        if event.type == "ESC":
            self._end(context)
            self.report({"INFO"}, "Cancelled")
            return {"CANCELLED"}
        if event.type != "TIMER":
            return {"RUNNING_MODAL"} if self.exclusive else {"PASS_THROUGH"}
        try:
            share = next(self._steps)
        except StopIteration:
            self._end(context)
            return self.finished(context)
        except TROUBLES as error:
            self._end(context)
            return self._failed(context, error)
        except ReferenceError:  # undo or another mode took away what was being read
            self._end(context)
            changed = "The scan changed in the meantime, so nothing was done: do it again."
            return self._failed(context, ApplicationError(changed))
        except BaseException:
            self._end(context)
            raise
        if share is not None:
            context.window_manager.progress_update(share * 100)
            context.workspace.status_text_set(f"Scanpick: {share:.0%}   Esc: Cancel")
        return {"RUNNING_MODAL"}

    def cancel(self, context: bpy.types.Context) -> None:
        self._end(context)

    def _failed(self, context: bpy.types.Context, error: Exception) -> set[str]:
        obj = scan_object(context)
        if obj is None:
            session.notice(NO_SCAN, "ERROR", str(error))
        return fail(self, obj.data if obj is not None else None, str(error))

    def _end(self, context: bpy.types.Context) -> None:
        if self._steps is not None:
            self._steps.close()
            self._steps = None
            session.held -= self.exclusive
        context.window_manager.event_timer_remove(self._timer)
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)
