"""Choose the engine a network is built from: the plain-torch layers, or MinkowskiEngine's."""

from types import ModuleType

from ..errors import UserError

ENGINES = ("torch", "minkowski")


def load_engine(name: str) -> ModuleType:
    """The module with an engine's layers: Coordinates, Convolution, TransposedConvolution, BatchNorm, add_relu and
    concatenate.

    Raises UserError for an unknown engine or where MinkowskiEngine is not built.
    """
    if name == "torch":
        from . import layers

        return layers
    if name == "minkowski":
        try:
            from . import minkowski
        except ImportError as error:
            raise UserError(
                f"MinkowskiEngine cannot be loaded ({error}); build it with `python install.py minkowski`, "
                "or leave out `--engine minkowski`."
            ) from error
        return minkowski
    raise UserError(f"There is no engine '{name}'; choose one of {', '.join(ENGINES)}.")
