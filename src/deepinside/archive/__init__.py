"""Whole archives of photos: a run that can be stopped at any moment and continued, and what is made of its results."""
