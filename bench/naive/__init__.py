"""The gateway as it is written first: what all figures of ours are held against."""
