"""Architectures and nothing else."""
