"""What every other wing stands on: errors, files, geometry, photos, labels and results. Imports nothing above it."""
