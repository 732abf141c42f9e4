"""SuperGLUE's ten parts, as the paper's Table 1 has them."""
