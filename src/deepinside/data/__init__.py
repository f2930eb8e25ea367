"""Data sets as they are shipped: boxes to judge by, pictures by class to train on, and their loading."""
