"""Gradient ascent on images: what is climbed, what is changed, and what keeps the image from being noise."""
