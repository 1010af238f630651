"""What `/v1/translate` writes, read back by the classes of the systems that it is for, under the peers' interpreter."""
