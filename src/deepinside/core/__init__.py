"""What all other wings build on: errors, files, geometry, photos, labels, results, threads, and the terminal."""
