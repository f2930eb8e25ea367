"""How good it is: localization error as ILSVRC judges it, and recognition of class images by other networks."""
