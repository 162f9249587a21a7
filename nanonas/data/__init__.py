"""data: sets of images, from files to arrays in memory. Only `images` imports torch."""
