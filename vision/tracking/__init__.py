"""The objects of one camera from picture to picture."""
