"""The whole paper on one data set, as one page."""
