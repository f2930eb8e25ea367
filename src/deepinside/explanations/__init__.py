"""From a photo to what the network saw in it: maps, masks, boxes, and the files and sheets made of them."""
