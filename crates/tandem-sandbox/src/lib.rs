//! Child processes: isolation, limits, signals and the shim that outlives Tandem.
