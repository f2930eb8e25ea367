"""The web page: what the library finds, in a browser."""
