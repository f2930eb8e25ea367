"""Data sets in their published layouts: ground-truth boxes, images by class for training, and loading."""
