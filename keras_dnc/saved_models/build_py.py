"""The build command that puts the pretrained models into wheels and sdists.

`setup.cfg` names it; only setuptools imports this module.
"""

import pathlib

from setuptools.command.build_py import build_py

_MODELS = pathlib.Path("saved_models")  # setuptools runs in the root of the project
_FILES = ("model.keras", "config.json", "metrics.json", "README.md")


class BuildWithModels(build_py):
    """`build_py` that also copies the pretrained models.

    A wheel gets `model.keras`, `config.json`, `metrics.json` and `README.md` of each
    model in `keras_dnc/saved_models/installed/<name>/`, an sdist gets them in
    `saved_models/<name>/`. Exports for TensorFlow Serving, the folders `serving`, stay
    in the repository. An editable install copies nothing and uses the clone's folder.
    """

    def run(self) -> None:
        """Build the package and copy the models into it."""
        super().run()
        if self.editable_mode:
            return
        for target, source in self._copies().items():
            self.mkpath(str(pathlib.Path(target).parent))
            self.copy_file(source, target)

    def get_source_files(self) -> list[str]:
        """Return the files that an sdist needs for this command.

        Returns:
            List of paths relative to the root of the project.
        """
        return [*super().get_source_files(), *self._copies().values()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that this command writes.

        Args:
            include_bytecode: Whether to include compiled modules. Defaults to `True`.

        Returns:
            List of paths.
        """
        copies = [] if self.editable_mode else [*self._copies()]
        return [*super().get_outputs(include_bytecode), *copies]

    def _copies(self) -> dict[str, str]:
        """Return a dict from the path of each copy to that of its source."""
        installed = pathlib.Path(self.build_lib, "keras_dnc", "saved_models")
        sources = [
            folder.parent / name
            for folder in sorted(_MODELS.glob("*/model.keras"))
            for name in _FILES
        ]
        return {
            str(installed / "installed" / source.relative_to(_MODELS)): str(source)
            for source in sources
        }
