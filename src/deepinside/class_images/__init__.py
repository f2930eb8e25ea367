"""Images that a class or a neuron likes best (Sect. 2), and galleries of them."""
