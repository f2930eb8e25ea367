"""Evaluation: localization error by the rules of ILSVRC, and recognition of class images by other networks."""
