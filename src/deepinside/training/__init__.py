"""Training the paper's ConvNet (Sect. 1): the recipe, the augmentation, and one or several processes."""
