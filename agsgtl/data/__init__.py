"""From files to a pair of scenes with disjoint labels: readers, scenes, pairs, label draws, normalisation."""
