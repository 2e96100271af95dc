"""Maps: features in two dimensions, and numbers that say whether what is seen is there.

`draw_map` makes a map of vectors, `place` puts new vectors into it, `measure` says how well classes hold together in
the features and on the map.
"""

from decaf.maps.draw import Map, draw_map, place
from decaf.maps.live import LivePlaces
from decaf.maps.measures import Numbers, Quality, measure, measure_across, trustworthiness
from decaf.maps.settings import MapSettings
from decaf.maps.stored import map_of, numbers_of, placed_in

__all__ = [
    "LivePlaces",
    "Map",
    "MapSettings",
    "Numbers",
    "Quality",
    "draw_map",
    "map_of",
    "measure",
    "measure_across",
    "numbers_of",
    "place",
    "placed_in",
    "trustworthiness",
]
