"""Files of arrays: tensors of networks, features of images."""
