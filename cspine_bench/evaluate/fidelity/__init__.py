"""How close synthetic radiographs are to real ones: as distributions, in anatomy, in image quality, to a classifier."""
