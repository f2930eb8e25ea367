"""Classifiers and their sources, weights and layers, and the paper's own ConvNet (Sect. 1)."""
