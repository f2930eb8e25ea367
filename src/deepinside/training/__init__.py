"""Training of the paper's ConvNet (Sect. 1): recipes, augmentation, and one or several processes."""
