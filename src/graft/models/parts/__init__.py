"""Parts that several architectures share: heads, pooling, stems, and the doors to the libraries."""
