"""The DAVIS click benchmark: ``img/`` and ``gt/``, one object an image, everything but black."""

from segue.data.formats.pairs import PairedFolders

FORMAT = PairedFolders("davis", "img", "gt")
