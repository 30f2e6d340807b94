"""What can be wrong with the input of the model.

ModelError
├── ConfigError     sizes that do not fit, an unknown field
├── WeightsError    a file whose keys or shapes are not the model's
├── PromptError     a sample that cannot become a sequence
├── SpliceError     placeholders and visual tokens do not match
└── FreezeError     a submodule to freeze that does not exist
"""


class ModelError(Exception):
    """The base of all errors that this package raises on purpose."""


class ConfigError(ModelError):
    """A model configuration that cannot be built."""


class WeightsError(ModelError):
    """A weights file that does not fit the model."""


class PromptError(ModelError):
    """A sample that cannot be rendered or tokenised."""


class SpliceError(ModelError):
    """Clips, placeholders or visual tokens that do not match in number."""


class FreezeError(ModelError):
    """A name to freeze that is no submodule of the model."""
