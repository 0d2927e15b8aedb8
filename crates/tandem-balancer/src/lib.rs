//! The data path: routes, pools, probes, retries, static files.
