"""Maps: features in two dimensions, and numbers that say whether what is seen is there.

`draw_map` makes a map of vectors, `place` puts new vectors into it, `measure` says how well classes hold together in
the features and on the map.
"""

from decaf.maps.draw import Map, draw_map, place
from decaf.maps.measures import Purity, Quality, knn_purity, measure, silhouette, trustworthiness
from decaf.maps.settings import MapSettings
from decaf.maps.stored import map_of, placed_in

__all__ = [
    "Map",
    "MapSettings",
    "Purity",
    "Quality",
    "draw_map",
    "knn_purity",
    "map_of",
    "measure",
    "place",
    "placed_in",
    "silhouette",
    "trustworthiness",
]
