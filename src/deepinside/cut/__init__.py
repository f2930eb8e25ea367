"""The exact minimum cut and its costs: color mixtures, contrast, and the network's own features (Sect. 3.2)."""
