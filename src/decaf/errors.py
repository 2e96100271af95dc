"""What can go wrong, in one line each: what is wrong, with which thing, and what to do.

DecafError
├── NetError          a network or parameter file cannot be used (also a ValueError)
├── UnknownName       a net, layer or setting nobody has heard of (also a LookupError)
├── ImageError        one picture cannot be read (also a ValueError)
│   └── NotTried      it could not even be tried here: a package or memory is missing
├── BrokenPicture     a broken picture ended a run that was told to stop at one (also a ValueError)
├── TableError        a CSV file of boxes or labels cannot be used (also a ValueError)
├── FeatureSetError   a feature folder cannot be read or written (also a ValueError)
├── SettingsDiffer    a rerun asks for other features than the folder holds (also a ValueError)
├── ProbeError        features, labels or settings a classifier cannot learn from (also a ValueError)
├── AdaptError        domains, labels or settings an adaptation method cannot use (also a ValueError)
├── SearchError       features or a query that nothing can be compared with (also a ValueError)
├── ModelError        a fitted model's file cannot be used or written (also a ValueError)
├── CompareError      representations that cannot be compared (also a ValueError)
├── ExploreError      a page of pictures cannot be made or served (also a ValueError)
├── MapError          features or settings no map can be made of (also a ValueError)
├── TaskError         the data of a benchmark is not what its protocol needs (also a ValueError)
└── FolderInUse       another process is writing the folder (also an OSError)
"""


class DecafError(Exception):
    """Root of every error decaf raises on purpose. The message carries the remedy."""


class NetError(DecafError, ValueError):
    """The network file or its parameters are unusable. Fetch or export the file again, or name another."""


class UnknownName(DecafError, LookupError):
    """The name is not in the list the message prints. Pick one of those."""


class ImageError(DecafError, ValueError):
    """The picture cannot be decoded. Replace the file; `decaf extract` records it and goes on."""


class NotTried(ImageError):
    """The picture could not be tried here. Provide what the message names and run `decaf extract --update`."""


class BrokenPicture(DecafError, ValueError):
    """A picture is broken and the run was to stop there. Replace the file, or let broken ones be recorded."""


class TableError(DecafError, ValueError):
    """The CSV file cannot be read, or does not fit the pictures. Correct the line the message names."""


class FeatureSetError(DecafError, ValueError):
    """The folder is not a readable feature set. Point at the folder given to `decaf extract -o`."""


class SettingsDiffer(DecafError, ValueError):
    """The folder was made with other settings. Use the same ones, or write to another folder."""


class ProbeError(DecafError, ValueError):
    """The features, labels or settings are not what a classifier can learn from. The message names them."""


class AdaptError(DecafError, ValueError):
    """The rows of the two domains, their labels or a setting cannot be used. The message names what and why."""


class SearchError(DecafError, ValueError):
    """The features or the query cannot be compared with anything. The message names them."""


class ModelError(DecafError, ValueError):
    """The file holds no fitted model, or one that is damaged. Fit it anew, or name another."""


class CompareError(DecafError, ValueError):
    """The representations cannot be compared. The message says of which pictures or numbers, and what to do."""


class ExploreError(DecafError, ValueError):
    """What a page of pictures is to show does not fit together, or its folder is taken. The message says which."""


class MapError(DecafError, ValueError):
    """The features or settings make no map, or its figure cannot be written. The message names them."""


class TaskError(DecafError, ValueError):
    """The folder or the lists of splits are not those of the benchmark. The message says what to name or add."""


class FolderInUse(DecafError, OSError):
    """Another process writes this folder. Wait for it, or write to another folder."""
