"""Readers: raw files, and the user's own, as `wellfit.data.raw.RawData`."""
