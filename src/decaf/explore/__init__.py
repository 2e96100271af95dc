"""The explorer: a page on which the pictures are the points, as a folder that needs nothing else.

This package knows arrays and pixels only. What a page shows is a `Site`; `write_site` makes the folder. The page itself
is in `static/`: plain scripts, written here, that run from a web server and from `file://` alike.
"""

from decaf.explore.columns import Column
from decaf.explore.neighbours import nearest
from decaf.explore.pictures import PictureSettings, Source
from decaf.explore.site import Site
from decaf.explore.writer import Written, check_folder, write_site

__all__ = ["Column", "PictureSettings", "Site", "Source", "Written", "check_folder", "nearest", "write_site"]
