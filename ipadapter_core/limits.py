"""Every limit on what comes from outside, each with its reason."""

# Files
KEYS = 20_000  # names in a file; whole checkpoints have some 3,000, the largest adapter with a LoRA 1,500
HEADER_BYTES = 16_000_000  # of key names and metadata; whole checkpoints with a preview image have some 5,000,000
PICKLE_OPERATIONS = 1_200_000  # steps in a .bin; a tensor's entry takes 30, so that is twice the number of keys
NESTING = 6  # dictionaries inside one another; trainers write three
DIMENSIONS = 8  # of one tensor; a video's convolution has five
ELEMENTS = 2**40  # in one tensor: a number that any arithmetic on sizes can hold
FOREIGN_HEADERS = 8_192  # bytes that are read of a file of another kind, to say what it is

# Adapters, numbers that are read from key names and shapes
LAYER_DIGITS = 4  # of a layer's number; published files have at most three
LAYERS = 1_000  # highest number of a layer; published files go to 139
DEPTH = 64  # blocks of a projector; published ones have at most ten
ENCODER_DEPTH = 128  # layers of an image encoder; the largest that adapters were trained with has 48
WIDTH = 65_536  # of a projector's features, tokens and layers; the widest published one is 24,576
ENCODER_SIDE = 2_048  # pixels that an image encoder looks at; Anima's own node goes as far
LARGEST = 65_504.0  # number in a weight or a feature: the largest that half precision holds
TOKENS = 16_384  # image tokens of one reference; an encoder that looks at 2048 pixels makes as many

# Saved image prompts
REFERENCES = 4_096  # in one prompt: one for each frame of a film of nearly three minutes
PROMPT_BYTES = 4_000_000_000  # of a saved prompt: every reference with as many tokens as SigLIP2 makes of 512 pixels
PNG_PROMPT_BYTES = (
    48_000_000  # of one inside a PNG: 64,000,000 as text, and Pillow opens images with 67,108,864 at most
)
PNG_CHUNKS = 1_000  # parts of a PNG before its pixels; image programs write some twenty
PNG_SIDE = 2_048  # pixels of the image that a prompt is shown by: no image encoder looks at more
MASK_SIDE = 16_384  # rows or columns of a mask, as many as ComfyUI's own images may have

# Training
TRAINING_IMAGES = 4  # at least, for an adapter to be trained: fewer are learned by heart
TRAINING_STEPS = 1_000_000  # of one training: ten times as many as any published adapter's on its own data took
VIEWS = 64  # of one reference: each is encoded and kept

# Messages
QUOTED = 200  # characters of one value in a message: a path or a key is shorter
NAMES = 10  # names of a list in a message: what a screen shows at once
MESSAGE = 1_000  # characters of a whole message: it travels to the browser and into logs

# Sockets
RANGE_SLACK = 0.5  # how far values may lie outside 0..1: bicubic resizing in two directions reaches -0.45 and 1.45
IMAGE_PIXELS = 2**28  # of one image: 16,384 by 16,384, the largest that ComfyUI's own nodes make
TILES = 256  # of one image: 16 by 16; an encoder looks at each
CROPPED_ASPECT = 4  # how many times as long as high an image is resized whole, when a square of it is wanted
WEIGHT = 1_000  # of a weight or multiplier: what it multiplies still fits into half precision
FRAMES = 100_000  # numbers in a text: weights for a film of an hour
VARIANTS = 64  # models of one sweep: each is sampled, and all results lie in memory together
TEXT = 1_000_000  # characters of one text: a weight for each of 100,000 frames
NAME_BYTES = 200  # of one part of a file's name: file systems take 255, and a number and an ending are added
FOLDERS = 16  # above a new file: Windows takes 260 characters for the whole path
JSON_DEPTH = 32  # levels of JSON inside one another: scores have three
