"""Sources that annotation tools wrote: shapes that people drew, painted as each tool paints them."""
