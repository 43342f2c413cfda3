"""Pure functions of images: numpy and OpenCV, no torch."""
