"""The errors of thrum, one tree.

::

    ThrumError
    ├── UsageError            the words were wrong (exit code 2)
    │   ├── ConfigError       an unknown setting, or a value of the wrong kind
    │   └── UnknownNameError  a name that no registry holds
    ├── DataError             a file or folder is not what it should be
    │   ├── AudioError        a recording that cannot be read or used
    │   └── DatasetError      a folder that is not laid out as expected
    ├── StorageError          a stored state is foreign or half there
    │   └── DamagedError      stored bytes are not what was written
    ├── DownloadError         a file cannot be fetched whole
    ├── WeightsError          pretrained weights are missing, damaged or of another model
    ├── NotFittedError        scoring was asked for before fitting
    ├── EvaluationError       scores and truth do not fit together
    └── FederationError       a site and the server disagree
        └── ProtocolError     a message is not what the protocol allows

Every message says what came, what was wanted and what to do.
"""


class ThrumError(Exception):
    """Base of all errors that thrum raises on purpose."""

    exit_code = 1


class UsageError(ThrumError):
    """What was asked for cannot be understood."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is unknown or has a value of the wrong kind."""


class UnknownNameError(UsageError):
    """A name is not in the registry it was looked up in."""


class DataError(ThrumError):
    """A file or folder is not what it should be."""


class AudioError(DataError):
    """A recording cannot be read or used."""


class DatasetError(DataError):
    """A folder is not laid out as the dataset's reader expects."""


class StorageError(ThrumError):
    """A stored state is damaged, foreign or incomplete."""


class DamagedError(StorageError):
    """Stored bytes are not what was written: a disk, a copy or a person has changed them."""


class DownloadError(ThrumError):
    """A file cannot be fetched whole from the network."""


class WeightsError(ThrumError):
    """Pretrained weights are missing, damaged or belong to another model."""


class NotFittedError(ThrumError):
    """Scoring was asked for before fitting."""


class EvaluationError(ThrumError):
    """Scores and ground truth do not fit together."""


class FederationError(ThrumError):
    """A site and the server disagree."""


class ProtocolError(FederationError):
    """A message is not what the protocol allows."""
