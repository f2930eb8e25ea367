"""Class images: gradient ascent on the score of a class or a neuron (Sect. 2), and galleries of the results."""
