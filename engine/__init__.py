"""The numeric engine: arrays in, arrays out (numpy, ml_dtypes and the standard library only)."""
