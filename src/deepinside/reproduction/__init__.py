"""The whole paper on one data set, as one HTML page."""
