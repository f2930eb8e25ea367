"""A network in one file that explains itself, and a page that shows it: for programs and places without Python."""
