"""Where classifiers come from, their layers, and the paper's own ConvNet (Sect. 1)."""
