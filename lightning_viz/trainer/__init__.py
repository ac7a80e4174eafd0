"""What drives a visualisation: when it is drawn, on which images, and where it is kept. Knows no method."""
