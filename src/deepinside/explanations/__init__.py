"""Explanations of photos: maps, masks and boxes, and the sheets and files made from them."""
