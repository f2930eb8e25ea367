"""Gradients of any score at any layer, under any rectifier rule (Sect. 3.1 and 4), for any `nn.Module`."""
