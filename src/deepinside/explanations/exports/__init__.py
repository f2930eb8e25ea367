"""Explanations as the files of other tools: one file a format, and what the formats share."""
