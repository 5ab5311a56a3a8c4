"""How components lie to each other: distances, trees, maps, matches."""
