"""The answers of an exported model in words, by its task."""

# What is answered, in a sentence.
SENTENCES = {
    "segmentation": "One class for each pixel of an image.",
    "classification": "One class for each image.",
    "multilabel": "Any number of classes for each image, none included.",
}
# Shapes of the outputs `logits` and `class_ids`, B images and K classes.
OUTPUTS = {
    "segmentation": ("[B, K, H, W]", "uint8 [B, H, W]"),
    "classification": ("[B, K]", "int64 [B]"),
    "multilabel": ("[B, K]", "uint8 [B, K], one for each class whose probability, its sigmoid, reaches its threshold"),
}
# What `graft predict` writes.
WRITTEN = {
    "segmentation": "index masks in the values of the source, and overlays",
    "classification": "labels.csv",
    "multilabel": "labels.csv, two columns a class: its probability, and 1 where that reaches the threshold",
}
