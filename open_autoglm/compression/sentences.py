"""Sentences of many kinds and lengths that graphs of text are compared on; it knows nothing about models."""

SENTENCES = (
    "dog",
    "a photo of a bicycle",
    "two red apples on a wooden table beside a window",
    "An old man in a blue jacket is reading a newspaper at the railway station, waiting for his train.",
    "sunset over the sea",
    "IMG_2041 (copy).jpg",
    "the kitchen sink is full of dirty plates, cups and cutlery after yesterday's long dinner with friends",
    "不明",
)
