//! Process plumbing: clock, logging, task tree and drain, atomic files, HTTP set-up, the API client.
