"""Images before an encoder sees them: cropped, sharpened, cut into tiles, covered with noise."""
